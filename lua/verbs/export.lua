-- export: a page of a group's jobs by creation, with all that the store has of them; running jobs are in it as queued.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] group      name
-- ARGV[2] n          jobs at most; fewer when they are large
-- ARGV[3] score      of the last job of the page before, or ''
-- ARGV[4] id         of the last job of the page before, or ''
--
-- moves   -
-- reply   score and id of the last job of the page ('' '' at the end); how many of them run; then for each job: id, status,
--           score in the set of that status, record with its spec, execution or '', field value…; of a damaged one: id alone
-- refuses -
-- flags   no-writes
-- with    record job requeue hooks dependencies inputs awaiting undone settling unique lanes ties consistency paging batches
--           batch_transfer
local p, group, n, score, id = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local key, LARGEST = set_key(p, group, 'jobs'), 1048576

local from, ids = score == '' and 0 or position(key, score, id, true), {}
local page = call('ZRANGE', key, from, from + n - 1, 'WITHSCORES')
for i = 1, #page, 2 do ids[#ids + 1] = page[i] end

-- the one set that has each job, and its score there; `false` for a job that several have
local statuses, scores = {}, {}
for _, set in ipairs(STATUSES) do
  local found = #ids > 0 and call('ZMSCORE', set_key(p, group, set), unpack(ids)) or {}
  for i = 1, #ids do
    if found[i] then statuses[i], scores[i] = statuses[i] == nil and set, found[i] end
  end
end

-- a running job as it will be once its lease has ended
local function as_queued(execution)
  local job = {}
  parse_execution(job, execution)
  return rank_in_token(job.lease), digits(job.deliveries)
end

local texts = #ids > 0 and call('HMGET', jobs_key(p), unpack(ids))
local executions = #ids > 0 and call('HMGET', executions_key(p), unpack(ids))
local rows, bytes, running = { '', '', 0 }, 0, 0
if #ids == n then rows[1], rows[2] = page[#page], page[#page - 1] end
for i = 1, #ids do
  local status, at, execution, text = statuses[i], scores[i], executions[i] or '', with_spec(p, ids[i], texts[i])
  if status == 'running' and execution ~= '' then
    status, running = 'queued', running + 1
    at, execution = as_queued(execution)
  end
  if status and at and text and parse_record(text) == group then
    local row, fields = { ids[i], status, at, text, execution }, call('HGETALL', job_key(p, ids[i]))
    for k = 1, #fields, 2 do
      row[#row + 1] = fields[k]; row[#row + 1] = fields[k + 1]
      if fields[k] == 'undone' then append_undone(p, ids[i], row) end
    end
    if needs_settling(text) or #fields > 0 then append_ties(p, group, ids[i], row) end
    append_seat(p, ids[i], text, row)
    if setting_in(text, 'inputs') then bytes = bytes + append_inputs(p, ids[i], row) end
    rows[#rows + 1], bytes = row, bytes + #text
  else
    rows[#rows + 1] = { ids[i] }
  end
  if bytes >= LARGEST and i < #ids then
    rows[1], rows[2] = page[2 * i], ids[i]
    break
  end
end
rows[3] = running
return rows
