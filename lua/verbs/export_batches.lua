-- export_batches: a page of a group's batches by creation, with all that the store has of them but their members.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] group      name
-- ARGV[2] n          batches at most
-- ARGV[3] score      of the last batch of the page before, or ''
-- ARGV[4] id         of the last batch of the page before, or ''
--
-- moves   -
-- reply   score and id of the last batch of the page ('' '' at the end); then for each batch: id, when it was created, when reap
--           must look at it, or 0, ms, then field value…
-- refuses -
-- flags   no-writes
-- with    record settling batches paging
local p, group, n, score, id = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local key, ending = set_key(p, group, 'batches'), set_key(p, group, 'ending')

local from = score == '' and 0 or position(key, score, id, true)
local page, rows = call('ZRANGE', key, from, from + n - 1, 'WITHSCORES'), { '', '' }
if #page == 2 * n then rows[1], rows[2] = page[#page], page[#page - 1] end
for i = 1, #page, 2 do
  local fields = call('HGETALL', batch_key(p, page[i]))
  if fields[1] then rows[#rows + 1] = { page[i], page[i + 1], call('ZSCORE', ending, page[i]) or '0', unpack(fields) } end
end
return rows
