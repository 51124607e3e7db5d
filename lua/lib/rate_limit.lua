-- For scripts that dispatch jobs: the token bucket of a group with a rate_limit. The bucket has room for the jobs of one second;
-- P:rates has the time when it is full again. If it is empty, the timer `rate:<group>` keeps the group out of `ready`;
-- reap.lua removes the timer when a tenth of the bucket, and at least one job, is available.

-- When the bucket is full again, ms. If the clock went back, no group waits for more than a second.
local function full_at(p, group, now)
  return math.min(math.max(tonumber(call('ZSCORE', p .. ':rates', group) or now), now), now + 1000)
end

-- How many jobs the bucket allows now.
local function allowance(p, group, rate, now)
  return math.floor(rate * (now + 1000 - full_at(p, group, now)) / 1000 + 0.001)
end

-- Takes n jobs from the bucket; n may be 0 if it was empty.
local function spend(p, group, rate, n, now)
  local each_ms = 1000 / rate
  local full = full_at(p, group, now) + n * each_ms
  call('ZADD', p .. ':rates', string.format('%.3f', full), group)
  if allowance(p, group, rate, now) < 1 then
    set_timer(p, 'rate', group, math.ceil(full - 1000 + math.max(1, math.floor(rate / 10)) * each_ms))
  end
end

-- After the clock went back, some buckets are full only in more than a second. This corrects them and makes their timers due. It
-- leaves half a second, because the reaper runs every half second and so much has passed already.
local function correct_future_buckets(p, now)
  local groups = call('ZRANGEBYSCORE', p .. ':rates', '(' .. digits(now + 1001), '+inf', 'LIMIT', 0, 1000)
  for i = 1, #groups do
    call('ZADD', p .. ':rates', now + 500, groups[i])
    call('ZADD', p .. ':due', 'XX', now, 'rate:' .. groups[i])
  end
end
