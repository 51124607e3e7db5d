-- Put before the scripts that look at single jobs: what is known of one, and the same as a reply.

-- The text that `executions` has of a job that was handed out, or is over; words with a space between them:
--   deliveries                               it was given back
--   lease deliveries started_at              it runs; behind that lease_s and deadline, ms, of a short lease; or `start`, when
--                                            that verb and not `next` handed it out
--   … status completed_at                    it is over; before that the same as when it ran
-- lease is the token; of a job that is over the one that reported it, `-` when there was none, `*` when nobody reported it.
-- started_at is `-` when the job that is over was not running.

-- the status that the text says; nil when the job is delayed or queued
local function status_in(run)
  return run and (string.match(run, ' (%a+) %d+$') or string.find(run, ' ', 1, true) and 'running') or nil
end

local function status_of(p, group, id, run)
  return status_in(run) or call('ZSCORE', set_key(p, group, 'delayed'), id) and 'delayed' or 'queued'
end

-- what the text says, into the job
local function read_run(job, run)
  local words = {}
  for word in string.gmatch(run or '0', '%S+') do words[#words + 1] = word end
  job.deliveries = tonumber(words[2] or words[1])
  if not words[2] then return end
  job.lease, job.started_at = words[1], tonumber(words[3])
  if words[4] == 'start' then job.handed_out_by = 'start' end
  if tonumber(words[4]) then job.lease_s, job.deadline = words[4], words[5] end
  if RETENTION_S[words[#words - 1]] then job.completed_at = words[#words] end
end

-- the settings of a job that are numbers, by their names
local function settings_of(text)
  local settings = {}
  for name, value in string.gmatch(settings_in(text), '"([a-z_]+)":(%d+)') do settings[name] = tonumber(value) end
  return settings
end

-- a job: its text, the size of its spec, status, created_at and settings, what is known of its run, and these fields of its
-- own hash; nil when there is no such job in the group
local function find(p, group, id, ...)
  local text = call('HGET', jobs_key(p), id)
  if not text then return nil end
  local its_group, created_at, spec = parts_of(text)
  local size = its_group == group and spec_bytes(p, id, spec) or 0
  if size == 0 then return nil end
  local job, fields = settings_of(text), { ... }
  local values = #fields > 0 and call('HMGET', job_key(p, id), unpack(fields))
  for i = 1, #fields do job[fields[i]] = values[i] or nil end
  job.text, job.size, job.created_at, job.run = text, size, created_at, call('HGET', executions_key(p), id) or nil
  job.status = status_of(p, group, id, job.run)
  read_run(job, job.run)
  return job
end

local function lease_ends(p, group, id) return call('ZSCORE', set_key(p, group, 'running'), id) or nil end

-- a whole job as a reply: field, value, field, value; those of its own hash, and `job`, its text, id, status, `run`, the text
-- of its run, and while it runs expires_at, the end of its lease
local function row_of(p, id, text, status, run, ends)
  local row = call('HGETALL', job_key(p, id))
  local function add(name, value) row[#row + 1] = name; row[#row + 1] = value end
  add('job', text)
  add('id', id)
  add('status', status)
  if run then add('run', run) end
  if ends then add('expires_at', ends) end
  return row
end
local function row_of_job(p, group, id, job)
  return row_of(p, id, job.text, job.status, job.run, job.status == 'running' and lease_ends(p, group, id))
end
local function row(p, group, id) return row_of_job(p, group, id, find(p, group, id)) end

local function not_found() return refuse('NOT_FOUND', 'There is no such job in this group.') end
local function wrong_state(job, note)
  local at = job.completed_at or job.started_at and whole(job.started_at) or job.created_at
  return refuse('WRONG_STATE', job.status .. ' ' .. at .. (note and ' ' .. note or ''))
end
