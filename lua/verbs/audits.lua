-- audits: read a page of the acts that `audit` noted, the newest first.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] n          acts to read at most
-- ARGV[2] before     the entry after which the page begins, or ''
--
-- moves   -
-- reply   for each act: its entry, which begins with its time, ms; then field value field value…
-- refuses -
-- flags   no-writes
local p, n, before = KEYS[1], ARGV[1], ARGV[2]

local rows = {}
for _, entry in ipairs(call('XREVRANGE', p .. ':audit', before == '' and '+' or '(' .. before, '-', 'COUNT', n)) do
  rows[#rows + 1] = { entry[1], unpack(entry[2]) }
end
return rows
