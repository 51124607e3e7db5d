-- Put before the scripts that look at single jobs: what is known of one, and the same as a reply.

-- The text that `runs` has of a job that was handed out, or is over; words with a space between them:
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

-- a job: status, created_at, its settings, these fields, and what is known of its run; nil when there is no such job in the
-- group
local function find(p, group, id, ...)
  local fields = { 'group_name', 'settings', 'created_at', ... }
  local values = call('HMGET', job_key(p, id), unpack(fields))
  if values[1] ~= group then return nil end
  local job = settings_of(values[2])
  for i = 3, #fields do job[fields[i]] = values[i] or nil end
  local run = call('HGET', runs_key(p), id) or nil
  job.status = status_of(p, group, id, run)
  read_run(job, run)
  return job
end

local function lease_ends(p, group, id) return call('ZSCORE', set_key(p, group, 'running'), id) or nil end

-- the whole job as a reply: field, value, field, value; among these its id, its status, the text of its run, and while it
-- runs the end of its lease
local function flat_row(p, id, status, run, ends)
  local flat = call('HGETALL', job_key(p, id))
  local function add(name, value) flat[#flat + 1] = name; flat[#flat + 1] = value end
  add('id', id)
  add('status', status)
  if run then add('run', run) end
  if ends then add('expires_at', ends) end
  return flat
end
local function row(p, group, id)
  local run = call('HGET', runs_key(p), id) or nil
  local status = status_of(p, group, id, run)
  return flat_row(p, id, status, run, status == 'running' and lease_ends(p, group, id))
end

local function not_found() return refuse('NOT_FOUND', 'There is no such job in this group.') end
local function wrong_state(job, note)
  local at = job.completed_at or job.started_at and whole(job.started_at) or job.created_at
  return refuse('WRONG_STATE', job.status .. ' ' .. at .. (note and ' ' .. note or ''))
end
