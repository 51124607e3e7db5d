-- For scripts that read single jobs: finds a job and builds its reply.

-- An execution, the text in P:executions, is words with a space between them (grammar in lua/README.md):
--   deliveries                       the job was requeued; it does not run
--   lease deliveries started_at …    it runs; then lease_s and deadline (ms) of a short lease, or `start` if the verb start
--                                    delivered it
--   … status completed_at            it is finished; the words before are those of the run
-- lease is the token. Of a finished job it is the token of its report, `-` for a report without one, `*` for no report.
-- started_at is `-` if the finished job never ran.

-- The status in an execution; nil if the job is delayed or queued.
local function status_in(execution)
  return execution and (string.match(execution, ' (%a+) %d+$') or string.find(execution, ' ', 1, true) and 'running') or nil
end

local function status_of(p, group, id, execution)
  return status_in(execution) or call('ZSCORE', set_key(p, group, 'delayed'), id) and 'delayed' or 'queued'
end

-- Sets the fields of `job` that an execution has.
local function parse_execution(job, execution)
  local words = {}
  for word in string.gmatch(execution or '0', '%S+') do words[#words + 1] = word end
  job.deliveries = tonumber(words[2] or words[1])
  if not words[2] then return end
  job.lease, job.started_at = words[1], tonumber(words[3])
  if words[4] == 'start' then job.started_by = 'start' end
  if tonumber(words[4]) then job.lease_s, job.deadline = words[4], words[5] end
  if RETENTION_S[words[#words - 1]] then job.completed_at = words[#words] end
end

-- The numeric settings in a record, by name.
local function settings_of(record)
  local settings = {}
  for name, value in string.gmatch(settings_json(record), '"([a-z_]+)":(%d+)') do settings[name] = tonumber(value) end
  return settings
end

-- Finds a job: record, size of its spec (bytes), status, created_at, settings, execution and the fields in that, and the named
-- fields of P:job:<id>. nil if the group has no such job.
local function find_job(p, group, id, ...)
  local record = call('HGET', jobs_key(p), id)
  if not record then return nil end
  local job_group, created_at, spec = parse_record(record)
  local size = job_group == group and spec_bytes(p, id, spec) or 0
  if size == 0 then return nil end
  local job, fields = settings_of(record), { ... }
  local values = #fields > 0 and call('HMGET', job_key(p, id), unpack(fields))
  for i = 1, #fields do job[fields[i]] = values[i] or nil end
  job.record, job.size, job.created_at, job.execution = record, size, created_at, call('HGET', executions_key(p), id) or nil
  job.status = status_of(p, group, id, job.execution)
  parse_execution(job, job.execution)
  return job
end

local function lease_end_of(p, group, id) return call('ZSCORE', set_key(p, group, 'running'), id) or nil end

-- A job as a reply: field value field value… The fields of P:job:<id>, then job (its record), id, status, run (its execution)
-- and, while it runs, expires_at (the end of its lease).
local function build_row(p, id, record, status, execution, lease_end)
  local row = call('HGETALL', job_key(p, id))
  local function add(name, value) row[#row + 1] = name; row[#row + 1] = value end
  add('job', record)
  add('id', id)
  add('status', status)
  if execution then add('run', execution) end
  if lease_end then add('expires_at', lease_end) end
  return row
end
local function row_of(p, group, id, job)
  return build_row(p, id, job.record, job.status, job.execution, job.status == 'running' and lease_end_of(p, group, id))
end
local function read_row(p, group, id) return row_of(p, group, id, find_job(p, group, id)) end

local function wrong_state(job, note)
  local at = job.completed_at or job.started_at and digits(job.started_at) or job.created_at
  return refuse('WRONG_STATE', job.status .. ' ' .. at .. (note and ' ' .. note or ''))
end
