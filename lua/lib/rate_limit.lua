-- Put before the scripts that hand out jobs: how fast a group with a rate_limit hands them out. A bucket holds the jobs of
-- one second; `rates` has when it is full again. An empty one holds the group back by the timer `rate`, which reap.lua
-- takes away once a tenth of the bucket, or one job, is there.

-- when the bucket is full again, ms; a clock that went back holds nothing up for more than a second
local function full_at(p, group, now)
  return math.min(math.max(tonumber(call('ZSCORE', p .. ':rates', group) or now), now), now + 1000)
end

-- how many jobs may go out now
local function allowance(p, group, rate, now)
  return math.floor(rate * (now + 1000 - full_at(p, group, now)) / 1000 + 0.001)
end

-- n jobs go out, or none was left
local function spend(p, group, rate, n, now)
  local each_ms = 1000 / rate
  local full = full_at(p, group, now) + n * each_ms
  call('ZADD', p .. ':rates', string.format('%.3f', full), group)
  if allowance(p, group, rate, now) < 1 then
    set_timer(p, 'rate', group, math.ceil(full - 1000 + math.max(1, math.floor(rate / 10)) * each_ms))
  end
end

-- groups whose buckets are not full for more than a second, since the clock went back, go on: their timers are due now. The
-- reaper comes every half a second, so that much of the second has passed
local function end_long_holds(p, now)
  local groups = call('ZRANGEBYSCORE', p .. ':rates', '(' .. whole(now + 1001), '+inf', 'LIMIT', 0, 1000)
  for i = 1, #groups do
    call('ZADD', p .. ':rates', now + 500, groups[i])
    call('ZADD', p .. ':due', 'XX', now, 'rate:' .. groups[i])
  end
end
