-- look: read a limited number of a group's jobs, and reply with those of them that pass some filters.
--
-- KEYS[1] partition       name    every key of the partition begins with it
-- ARGV[1] group           name
-- ARGV[2] sets            jobs, or statuses with a space between them: all that the whole list reads
-- ARGV[3] set             the one of them to read now
-- ARGV[4] n               matching jobs at most
-- ARGV[5] looks           jobs to read at most; fewer if they are large
-- ARGV[6] order           asc or desc
-- ARGV[7] score           of the last job that was read before, or ''
-- ARGV[8] id              of the last job that was read before, or ''
-- ARGV[9] form            whole; or brief: of a large spec only the beginning; or cause: score, reason and error
-- ARGV[10] after          only jobs created after this time, ms; or ''
-- ARGV[11] before         only jobs created before this time, ms; or ''
-- ARGV[12] image          as a JSON string, or ''
-- ARGV[13] text           that the payload has, as a JSON string without its quotes; or ''
-- ARGV[14] reason         or ''
-- ARGV[15] worker         as a JSON string, or ''
-- ARGV[16] is_unretried   1 to leave out jobs that were retried, or ''
-- ARGV[17] ended          only jobs completed after a time and before another: both in ms, or - for any; or ''
-- ARGV[18] held           ids of jobs that the worker runs
--
-- moves   -
-- reply   score and id of the last job that was read ('' '' at the end), number of jobs read, number of jobs in all sets; for
--           each match: field value field value…, or for a cause id score reason error
-- refuses -
-- flags   no-writes
-- with    record job paging filters
local p, group, sets, set, n, looks, order = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local score, id, form, after, before, image = ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10]), tonumber(ARGV[11]), ARGV[12]
local text, reason, worker, is_unretried, ended, held = ARGV[13], ARGV[14], ARGV[15], ARGV[16], ARGV[17], { unpack(ARGV, 18) }
local key, LOOK_BYTES, n_read, bytes, ids = set_key(p, group, set), 524288, 0, 0, {}
local filters = { image = image, text = text, reason = reason, worker = worker, is_unretried = is_unretried, held = {} }
for i = 1, #held do filters.held[held[i]] = true end

local done_after, done_before = tonumber(string.match(ended, '^%d+')), tonumber(string.match(ended, '%d+$', 2))
local first, last, of, least = 0, call('ZCARD', key) - 1, 0, done_after and '(' .. digits(done_after) or '-inf'
if set == 'jobs' and after then first = call('ZCOUNT', key, '-inf', after) end
if RETENTION_S[set] and done_after then first = call('ZCOUNT', key, '-inf', done_after) end -- its score, or before
if set == 'jobs' and before then last = call('ZCOUNT', key, '-inf', '(' .. digits(before)) - 1 end
for name in string.gmatch(sets, '%S+') do
  of = of + (name == 'jobs' and math.max(0, last - first + 1) or call('ZCOUNT', set_key(p, group, name), least, '+inf'))
end
local page, has_more = read_page(key, looks, order, score, id, first, last)
for i = 1, #page, 2 do ids[#ids + 1] = page[i] end
local records = #ids > 0 and call('HMGET', jobs_key(p), unpack(ids))
local executions = #ids > 0 and call('HMGET', executions_key(p), unpack(ids))
local lease_ends = #ids > 0 and call('ZMSCORE', set_key(p, group, 'running'), unpack(ids))
local due_times = #ids > 0 and call('ZMSCORE', set_key(p, group, 'delayed'), unpack(ids))

-- The spec; of a large one only the beginning if that is enough. nil for no job of the group, or one of another time.
local function read_spec(i)
  local is_wanted, spec = is_in_range(records[i], group, after, before)
  is_wanted = is_wanted and is_completed_in(executions[i], done_after, done_before)
  bytes = bytes + #(records[i] or '')
  if spec ~= '' then return is_wanted and spec end
  spec = is_wanted and call('HGET', job_key(p, ids[i]), 'spec')
  bytes = bytes + #(spec or '')
  return spec and (form == 'whole' or text ~= '') and spec or spec and string.sub(spec, 1, LARGE)
end

local function row_of_match(i, spec, fields)
  if form == 'cause' then return { ids[i], page[2 * i], fields[1] or '', fields[2] or '' } end
  local status = status_in(executions[i]) or due_times[i] and 'delayed' or 'queued'
  return found_row(ids[i], records[i], status, executions[i], lease_ends[i], spec, fields)
end

local rows = { '', '', 0, of }
while n_read < #ids and #rows < 4 + n and bytes < LOOK_BYTES do
  n_read = n_read + 1
  local spec = read_spec(n_read)
  local fields = spec and call('HMGET', job_key(p, ids[n_read]), unpack(FIELDS))
  if spec and is_match(filters, ids[n_read], spec, fields, lease_ends[n_read]) then
    rows[#rows + 1] = row_of_match(n_read, spec, fields)
  end
end
rows[3] = n_read
if has_more or n_read < #ids then rows[1], rows[2] = page[2 * n_read], ids[n_read] end
return rows
