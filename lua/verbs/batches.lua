-- batches: list the batches of a group, oldest or newest first.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] group      name
-- ARGV[2] n          batches to read at most
-- ARGV[3] order      asc or desc
-- ARGV[4] score      of the last batch of the page before, or ''
-- ARGV[5] id         of the last batch of the page before, or ''
--
-- moves   -
-- reply   score and id of the last batch that was read ('' '' at the end); for each: id, then the values of BATCH_FIELDS
-- refuses -
-- flags   no-writes
-- with    record settling batches paging
local p, group, n, order, score, id = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local key = set_key(p, group, 'batches')

local page, has_more = read_page(key, n, order, score, id, 0, call('ZCARD', key) - 1)
local reply = { '', '' }
if has_more then reply[1], reply[2] = page[#page], page[#page - 1] end
for i = 1, #page, 2 do
  if read_batch(p, page[i]) then reply[#reply + 1] = batch_reply(p, page[i]) end
end
return reply
