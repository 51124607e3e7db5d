-- For scripts that correct token buckets (rate_limit.lua).

-- After another rate_limit, the timer is that of the new one: a higher one takes hold at once, and so does a lower one. What was
-- taken stays taken.
local function apply_rate(p, group, now)
  local rate = call('HGET', group_key(p, group), 'rate_limit')
  call('ZREM', p .. ':due', 'rate:' .. group)
  if rate then spend(p, group, 0, now, allowance(p, group, rate, now)) else call('ZREM', p .. ':rates', group) end
end

-- After the clock went back, some buckets were empty only in the future. This corrects them and makes their timers due. It
-- leaves half a second, because the reaper runs every half second and so much has passed already.
local function correct_future_buckets(p, now)
  local groups = call('ZRANGEBYSCORE', p .. ':rates', '(' .. digits(now + 1001), '+inf', 'LIMIT', 0, 1000)
  for i = 1, #groups do
    call('ZADD', p .. ':rates', now + 500, groups[i])
    call('ZADD', p .. ':due', 'XX', now, 'rate:' .. groups[i])
  end
end
