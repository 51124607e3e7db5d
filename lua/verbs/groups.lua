-- groups: read a page of groups by creation, or one group: settings and counts.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] name       of the one group, or ''
-- ARGV[2] n          groups at most
-- ARGV[3] score      of the last group of the page before, or ''
-- ARGV[4] after      name of the last group of the page before, or ''
--
-- moves   -
-- reply   for each group: name, created_at, the six counts, then field value field value…
-- refuses -
-- flags   no-writes
-- with    paging group_reply
local p, name, n, score, after = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local groups = p .. ':groups'

local names = {}
if name ~= '' then
  names = { name, call('ZSCORE', groups, name) or nil }
elseif score == '' then
  names = call('ZRANGE', groups, 0, n - 1, 'WITHSCORES')
else
  local first = position(groups, score, after, true)
  names = call('ZRANGE', groups, first, first + n - 1, 'WITHSCORES')
end

local rows = {}
for i = 1, #names - 1, 2 do rows[#rows + 1] = group_row(p, names[i], names[i + 1]) end
return rows
