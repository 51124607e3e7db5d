-- For scripts that correct token buckets (rate_limit.lua).

-- After another rate_limit, the timer is that of the new one: a higher one takes hold at once, and so does a lower one. What was
-- taken stays taken.
local function apply_rate(p, group, now)
  local rate = call('HGET', group_key(p, group), 'rate_limit')
  call('ZREM', p .. ':due', 'rate:' .. group)
  if rate then spend(p, group, 0, now, allowance(p, group, rate, now)) else call('ZREM', p .. ':rates', group) end
end
