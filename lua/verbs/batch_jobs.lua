-- batch_jobs: list the members of a batch by creation, or of these those in some statuses.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] group      name
-- ARGV[2] id         of the batch
-- ARGV[3] n          members to read at most; fewer if they are large
-- ARGV[4] statuses   with spaces, or '' for all
-- ARGV[5] score      of the last member of the page before, or ''
-- ARGV[6] after      its id, or ''
--
-- moves   -
-- reply   score and id of the last member that was read ('' '' at the end); for each job: field value…
-- refuses NOT_FOUND
-- flags   no-writes
-- with    record job settling batches paging
local p, group, id, n, statuses, score, after = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local PAGE_BYTES, bytes, wanted = 1048576, 0, {}
for status in string.gmatch(statuses, '%S+') do wanted[status] = true end

if not find_batch(p, group, id) then return no_batch() end
local key = members_key(p, id)
local page, has_more = read_page(key, n, 'asc', score, after, 0, call('ZCARD', key) - 1)
local reply = { '', '' }
if has_more then reply[1], reply[2] = page[#page], page[#page - 1] end
for i = 1, #page, 2 do
  local job = find_job(p, group, page[i])
  if job and (statuses == '' or wanted[job.status]) then
    reply[#reply + 1], bytes = row_of(p, group, page[i], job), bytes + job.size
  end
  if bytes >= PAGE_BYTES and i + 2 < #page then
    reply[1], reply[2] = page[i + 1], page[i]
    break
  end
end
return reply
