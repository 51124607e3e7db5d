-- For scripts that dispatch jobs in fair order: groups take turns inside a priority. `ready` is a ring then: the score of a group is
-- the priority of its first job and the number of its turn. After `weight` jobs it gets a new number, so it is behind all others.
--
-- A turn spans calls, and jobs of a higher priority may come between. So P:turns has for a group in the middle of a turn, or with
-- jobs of several priorities, for each priority: its score there, and how many jobs of this turn it gave.

-- The priority of a rank or a score, as a number that is lower for a higher one.
local function band_of(rank) return math.floor((rank + MOST_LEAD) / STEP) end

-- The ring in one call: whether the order is fair, and the last number. A broker may not know yet that it is fair no more.
local function new_ring(p)
  local number = tonumber(call('GET', p .. ':sequence') or 0)
  return { p = p, is_fair = call('HEXISTS', p .. ':modes', 'order') == 1, first = number, number = number }
end

-- What P:turns has of these groups.
local function noted_turns(p, names)
  return #names > 0 and call('EXISTS', p .. ':turns') == 1 and call('HMGET', p .. ':turns', unpack(names)) or {}
end

-- Sets the turns of a group by priority. `score` is that in `ready`; a turn with another one is of an earlier time. A group without
-- settings has no weight yet.
local function read_turns(group, score, noted)
  local turns, band = {}, band_of(score)
  for at, given in string.gmatch(noted or '', '(%d+) (%d+)') do
    turns[band_of(at)] = { score = tonumber(at), given = tonumber(given) }
  end
  if not turns[band] or turns[band].score ~= score then turns[band] = { score = score, given = 0 } end
  group.turns, group.band, group.was_noted, group.is_noted = turns, band, noted, noted
  group.weight = group.weight or 1
end

-- The turn of a group for a job of this rank. A group that comes down from a higher priority is behind those that were there before.
local function turn_at(group, rank)
  local band = band_of(rank)
  if not group.turns[band] then
    group.turns[band] = { score = band * STEP + group.turns[group.band].score % STEP, given = 0 }
    group.is_noted = true
  end
  return group.turns[band]
end

-- Counts n jobs of a turn. After the last one the group is behind all others.
local function count_given(ring, group, turn, n)
  turn.given = turn.given + n
  if turn.given < group.weight then return end
  ring.number = ring.number + 1
  turn.score, turn.given = band_of(turn.score) * STEP + ring.number, 0
end

-- Writes the turns of these groups. Those without `rank` leave the ring.
local function write_turns(ring, groups)
  local p, noted, forgotten = ring.p, {}, {}
  for i = 1, #groups do
    local group, words = groups[i], {}
    for band = 0, 2 do
      local turn = group.rank and group.turns[band]
      if turn then
        words[#words + 1] = digits(turn.score) .. ' ' .. turn.given
        group.is_noted = group.is_noted or turn.given > 0
      end
    end
    if group.rank and group.is_noted then
      noted[#noted + 1] = group.name; noted[#noted + 1] = table.concat(words, ' ')
    elseif group.was_noted then
      forgotten[#forgotten + 1] = group.name
    end
  end
  call_many('HSET', p .. ':turns', noted)
  call_many('HDEL', p .. ':turns', forgotten)
  if ring.number > ring.first then call('INCRBY', p .. ':sequence', ring.number - ring.first) end
  ring.first = ring.number
end
