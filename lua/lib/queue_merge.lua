-- Put before next: the queues of groups, read as one in the order of places.

-- groups that may hand out, by the places of their first jobs, flat: name, place; as many as n jobs can be of, and one
-- behind them
local function ready_groups(p, names, n)
  if #names == 0 then return call('ZRANGE', p .. ':ready', 0, n, 'WITHSCORES') end
  local places, found, known, flat = call('ZMSCORE', p .. ':ready', unpack(names)), {}, {}, {}
  for i = 1, #names do
    local name, place = names[i], tonumber(places[i])
    if place and not known[name] then found[#found + 1], known[name] = { name, place }, true end
  end
  table.sort(found, function(a, b) return a[2] < b[2] end)
  for i = 1, #found do flat[2 * i - 1], flat[2 * i] = unpack(found[i]) end
  return flat
end

local function names_of(heads)
  local names = {}
  for i = 1, #heads, 2 do names[#names + 1] = heads[i] end
  return names
end

-- a group that hands out, and what is noted of it meanwhile: `look` jobs of its queue are read first, and each time twice as
-- many as before
local function in_turn(name, look)
  return { name = name, place = false, room = math.huge, running = false, seen = 0, at = 1, found = {}, look = look }
end

-- whose turn it is: of `heads` those from `at` on have had none, and `place` is that of the first of these; `back` are those
-- that had one and have another job, as a binary heap: each one's next job comes before those of the two below it, at twice
-- its number
local function new_merge(heads) return { heads = heads, at = 1, place = tonumber(heads[2]) or math.huge, back = {} } end

-- the place at which it is another group's turn
local function next_turn(turns)
  local first = turns.back[1]
  return first and math.min(first.place, turns.place) or turns.place
end

-- the group that has had no turn, and now has its first
local function open_next_queue(turns, look)
  local heads, at = turns.heads, turns.at
  turns.at, turns.place = at + 2, tonumber(heads[at + 3]) or math.huge
  return in_turn(heads[at], look)
end

-- the group comes back when the one above it has a place before its own
local function heap_push(back, group)
  local at = #back + 1
  local above = math.floor(at / 2)
  while above > 0 and back[above].place > group.place do
    back[at], at, above = back[above], above, math.floor(above / 2)
  end
  back[at] = group
end

-- the first of those that come back: the last takes its place, and goes down to where its next job comes
local function heap_pop(back)
  local first, n = back[1], #back
  local group, at, below = back[n], 1, 2
  back[n], n = nil, n - 1
  while below <= n do
    if below < n and back[below + 1].place < back[below].place then below = below + 1 end
    if group.place <= back[below].place then break end
    back[at], at, below = back[below], below, 2 * below
  end
  if n > 0 then back[at] = group end
  return first
end
