-- configure: replace all settings of a group; a setting that is missing gets its default.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] group      name
-- ARGV[3] settings   field value field value…
--
-- moves   -
-- reply   the group: name, created_at, the six counts, then field value field value…
-- refuses -
-- flags   allow-oom
-- with    group_reply
local p, now, group, first = KEYS[1], clock(ARGV[1]), ARGV[2], 3

call('ZADD', p .. ':groups', 'NX', now, group)
call('DEL', group_key(p, group))
if #ARGV >= first then call('HSET', group_key(p, group), unpack(ARGV, first)) end
if call('HEXISTS', group_key(p, group), 'rate_limit') == 0 then
  call('ZREM', p .. ':rates', group)
  call('ZREM', p .. ':due', 'rate:' .. group)
end
for status in pairs(RETENTION_S) do
  if call('EXISTS', set_key(p, group, status)) == 1 then set_timer(p, status, group, now) end
end
refresh_ready(p, group)

return group_row(p, group, call('ZSCORE', p .. ':groups', group))
