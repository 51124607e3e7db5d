-- Put before next: the queues of groups, read as one in the order of places.

-- a group in the order of turns; all that is noted of it while it hands out has its room from the beginning
local function in_turn(name, place)
  return { name = name, place = place, room = math.huge, env_vars = false, rate = false, running = false,
    first_end = math.huge, seen = 0, at = 1, found = false, look = 0, is_short = false }
end

-- groups that may hand out, by the places of their first jobs, each once: as many as n jobs can be of, and one behind them
local function ready_groups(p, names, n)
  local heads = {}
  if #names == 0 then
    local first = call('ZRANGE', p .. ':ready', 0, n, 'WITHSCORES')
    for i = 1, #first, 2 do heads[#heads + 1] = in_turn(first[i], tonumber(first[i + 1])) end
    return heads
  end
  local places, known = call('ZMSCORE', p .. ':ready', unpack(names)), {}
  for i = 1, #names do
    local name, place = names[i], tonumber(places[i])
    if place and not known[name] then heads[#heads + 1], known[name] = in_turn(name, place), true end
  end
  table.sort(heads, function(a, b) return a.place < b.place end)
  return heads
end

local function names_of(groups)
  local names = {}
  for i = 1, #groups do names[i] = groups[i].name end
  return names
end

-- The groups as a binary heap: each one's next job comes before those of the two below it, at twice its number.

-- the place at which it is another group's turn than the first one's
local function next_turn(heads)
  local second, third = heads[2] and heads[2].place or math.huge, heads[3] and heads[3].place or math.huge
  return math.min(second, third)
end

-- the first group had its turn: down with it, to where its next job comes, or out when it has none
local function pass_turn(heads)
  local group, at, below, n = heads[1], 1, 2, #heads
  if not group.place then
    group, heads[n], n = heads[n], nil, n - 1
  end
  while below <= n do
    if below < n and heads[below + 1].place < heads[below].place then below = below + 1 end
    if group.place <= heads[below].place then break end
    heads[at], at, below = heads[below], below, 2 * below
  end
  if n > 0 then heads[at] = group end
end

-- begin to read a group's queue: so many jobs, and each time twice as many as before
local function read_queue(group, look) group.seen, group.at, group.found, group.look = 0, 1, {}, look end

-- id and place of the next job in its queue
local function head(p, group)
  local found, look = group.found, group.look
  if not found[group.at] and look > 0 then
    found = call('ZRANGE', set_key(p, group.name, 'queued'), group.seen, group.seen + look - 1, 'WITHSCORES')
    group.found, group.at, group.look = found, 1, #found == 2 * look and 2 * look or 0
  end
  return found[group.at], found[group.at + 1]
end
