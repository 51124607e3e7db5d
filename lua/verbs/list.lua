-- list: read a page of a group's jobs by creation; or of those in one status, in the order of that set.
--
-- KEYS[1] partition      name    every key of the partition begins with it
-- ARGV[1] group          name
-- ARGV[2] set            jobs, or a status
-- ARGV[3] n              jobs to read at most; fewer if they are large
-- ARGV[4] created_after  ms, or ''
-- ARGV[5] order          asc or desc
-- ARGV[6] score          of the last job of the page before, or ''
-- ARGV[7] id             of the last job of the page before, or ''
-- ARGV[8] fields         'result' to have the results of the jobs too, or ''
--
-- moves   -
-- reply   score and id of the last job that was read ('' '' at the end), number of jobs read, bytes; for each job: field value…
-- refuses -
-- flags   no-writes
-- with    record job paging
local p, group, set, n = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local created_after, order, score, id, fields = tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local key, PAGE_BYTES, bytes = set_key(p, group, set), 1048576, 0

local first, last = 0, call('ZCARD', key) - 1
if set == 'jobs' and created_after then first = call('ZCOUNT', key, '-inf', created_after) end
local page, has_more = read_page(key, n, order, score, id, first, last)

-- The bytes of the result in a row; 0 after it was taken out, because nobody asked for it.
local function result_bytes(row)
  for k = 1, #row, 2 do
    if row[k] == 'result' then
      if fields == 'result' then return #row[k + 1] end
      table.remove(row, k + 1)
      table.remove(row, k)
      return 0
    end
  end
  return 0
end

local rows = { '', '', #page / 2, '' }
if has_more then rows[1], rows[2] = page[#page], page[#page - 1] end
local ids = {}
for i = 1, #page, 2 do ids[#ids + 1] = page[i] end
local records = #ids > 0 and call('HMGET', jobs_key(p), unpack(ids))
local executions = #ids > 0 and call('HMGET', executions_key(p), unpack(ids))
local lease_ends = #ids > 0 and call('ZMSCORE', set_key(p, group, 'running'), unpack(ids))
local due_times = #ids > 0 and call('ZMSCORE', set_key(p, group, 'delayed'), unpack(ids))
for i = 1, #ids do
  local id, job_group, created_at, spec = ids[i], parse_record(records[i] or '')
  local size = job_group == group and spec_bytes(p, id, spec) or 0
  if size > 0 and (not created_after or tonumber(created_at) > created_after) then
    local status = status_in(executions[i]) or due_times[i] and 'delayed' or 'queued'
    local row = build_row(p, id, records[i], status, executions[i], lease_ends[i])
    rows[#rows + 1], bytes = row, bytes + size + result_bytes(row)
  end
  if bytes >= PAGE_BYTES and i < #ids then
    rows[1], rows[2], rows[3] = page[2 * i], id, i
    break
  end
end
rows[4] = bytes
return rows
