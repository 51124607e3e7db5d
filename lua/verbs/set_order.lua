-- set_order: set the order in which groups are served. From turns back to ranks, some entries of the ready index a call are changed.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] order      'fair': groups take turns inside a priority; 'fifo': the job that was queued first is the first
-- ARGV[2] limit      groups to look at, at most
-- ARGV[3] from       where to continue, as the last call replied; or '' to begin
--
-- moves   -
-- reply   where to continue, or '' at the end
-- refuses -
-- flags   allow-oom
local p, order, limit, from = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]

if order == 'fair' then -- ranks are turns too, so `ready` need not change
  call('HSET', p .. ':modes', 'order', order)
  return ''
end

call('HDEL', p .. ':modes', 'order')
call('UNLINK', p .. ':turns')
-- From the last group to the first one: each moves towards the front, so none is left out.
local found = call('ZREVRANGEBYSCORE', p .. ':ready', from == '' and '+inf' or '(' .. from, '-inf', 'WITHSCORES', 'LIMIT', 0, limit)
for i = 1, #found, 2 do refresh_ready(p, found[i]) end
return #found == 2 * limit and found[#found] or ''
