-- forget_answers: delete idempotency records of a group that was deleted; those of a group made again with its name stay.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] before     when the group was deleted, ms; records of this time and later stay
-- ARGV[2] answers    group:key…
--
-- moves   -
-- reply   OK
-- refuses -
-- flags   allow-oom
local p, before, first = KEYS[1], tonumber(ARGV[1]), 2

for at = first, #ARGV do
  local key = p .. ':answer:' .. ARGV[at]
  local answered_at = tonumber(string.match(call('GET', key) or '', '^%S* (%d+)'))
  if answered_at and answered_at < before then call('DEL', key) end
end
return 'OK'
