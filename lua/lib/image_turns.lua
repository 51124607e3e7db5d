-- For next_image in fair order: chooses n of the jobs that were found, the groups in turns, and writes the turns.

-- The jobs of each group in the order of their ranks, and the groups that have some.
local function groups_of(found)
  local groups = {}
  for _, one in ipairs(found) do
    local group = one.group
    if not group.found then group.found, group.at, groups[#groups + 1] = {}, 1, group end
    group.found[#group.found + 1] = one
  end
  return groups
end

-- The rank of a group in the merge: its turn for the next job that was found.
local function set_rank(group)
  local one = group.found[group.at]
  group.rank = one and turn_at(group, one.score).score
end

-- The next jobs of a group until its turn has ended.
local function take_found(ring, group, chosen, n)
  local one = group.found[group.at]
  local turn, band, given = turn_at(group, one.score), band_of(one.score), 0
  local most = math.min(n - #chosen, math.max(1, group.weight - turn.given))
  while one and given < most and band_of(one.score) == band do
    chosen[#chosen + 1], given, group.at = one, given + 1, group.at + 1
    one = group.found[group.at]
  end
  count_given(ring, group, turn, given)
end

-- nil if the order is not fair. `score` of each group is that in `ready`.
local function image_turns(p, n, found)
  local ring, names, chosen, heap, scores = new_ring(p), {}, { is_in_turns = true }, {}, {}
  if not ring.is_fair then return nil end
  local groups = groups_of(found)
  for i = 1, #groups do names[i] = groups[i].name end
  local noted = noted_turns(p, names)
  for i = 1, #groups do
    read_turns(groups[i], groups[i].score, noted[i])
    set_rank(groups[i])
    heap_push(heap, groups[i])
  end
  while #chosen < n and heap[1] do
    local group = heap_pop(heap)
    take_found(ring, group, chosen, n)
    set_rank(group)
    if group.rank then heap_push(heap, group) end
  end
  for i = 1, #groups do
    scores[2 * i - 1], scores[2 * i] = groups[i].turns[groups[i].band].score, groups[i].name
    groups[i].rank = true -- refresh_ready decides whether it leaves
  end
  write_turns(ring, groups)
  if #groups > 0 then call('ZADD', p .. ':ready', 'XX', unpack(scores)) end
  return chosen
end
