-- bulks: read bulks, the newest first; or one of them.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] n          bulks to read at most
-- ARGV[2] score      of the last bulk of the page before, or ''
-- ARGV[3] after      the last bulk of the page before, or ''
-- ARGV[4] only       the id of the one to read, or ''
--
-- moves   -
-- reply   for each bulk: id, how many run, then field value field value…
-- refuses -
-- flags   no-writes
-- with    bulk_record paging
local p, n, score, after, only = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local key, rows = p .. ':bulks', {}

local function add(id)
  if call('EXISTS', bulk_key(p, id)) == 1 then rows[#rows + 1] = bulk_row(p, id) end
end

if only ~= '' then
  add(only)
  return rows
end
local last = call('ZCARD', key) - 1
if score ~= '' then last = position(key, score, after, false) - 1 end
while last >= 0 and #rows < n do
  add(call('ZRANGE', key, last, last)[1])
  last = last - 1
end
return rows
