-- For fire: for which times a schedule fired.
local MOST_STRETCHES = 1000

-- A stretch is a first and a last time between which the schedule fired for each of its times: the first is the member, the last
-- is the score. Whether one has this time.
local function has_fired(key, at)
  local first = call('ZRANGEBYSCORE', key, at, '+inf', 'LIMIT', 0, 1)[1]
  return first and tonumber(first) <= tonumber(at)
end

-- Notes that the schedule with this key fired for a time. `before` is the time of the schedule before this one, or ''.
local function note_time(key, at, before)
  local times = key .. ':times'
  local first = before ~= '' and call('ZRANGEBYSCORE', times, before, before, 'LIMIT', 0, 1)[1] or at
  call('ZADD', times, at, first)
  call('ZREMRANGEBYRANK', times, 0, -1 - MOST_STRETCHES)
end

-- Notes the last time at which the schedule was due, if it fired for it.
local function note_handled(key, at)
  if not at then return call('HDEL', key, 'handled') end
  call('HSET', key, 'handled', at)
  call('HINCRBY', key, 'fires', 1)
end
