-- Put before the scripts that move jobs: the moves that more than one verb makes. Nothing here refuses.

-- a place at the end of a priority
local function new_place(p, priority)
  return whole((2 - (priority or 0)) * STEP + call('INCR', p .. ':sequence'))
end

-- nil when the token may act on the job, else the refusal
local function refusal(p, group, job, token)
  if not job then return not_found() end
  if job.status ~= 'running' then return wrong_state(job) end
  if token ~= '' and token ~= job.lease then return lease_lost(job) end
  if token == '' and call('HGET', group_key(p, group), 'require_lease') then return lease_lost(job) end
end

-- a time that a client gave, where it is not before the job nor over a minute ahead; else now
local function plausible(job, at, now)
  if at and at >= tonumber(job.created_at) and at <= now + 60000 then return at end
  return now
end

-- the end of a lease that begins now
local function lease_end(job, now)
  local at = now + (job.lease_s or job.timeout or TIMEOUT_S) * 1000
  return job.deadline and math.min(at, tonumber(job.deadline)) or at
end

local function forget_run(p, id)
  call('HDEL', job_key(p, id), 'lease', 'lease_s', 'deadline', 'expires_at', 'handed_out_by')
end

-- running -> queued at the old place, or -> delayed
local function give_back(p, group, id, job, delay_ms, now)
  call('ZREM', set_key(p, group, 'running'), id)
  forget_run(p, id)
  call('HDEL', job_key(p, id), 'started_at')
  if delay_ms > 0 then
    call('ZADD', set_key(p, group, 'delayed'), whole(now + delay_ms), id)
    call('HSET', job_key(p, id), 'status', 'delayed')
    set_timer(p, 'delayed', group, now + delay_ms)
  else
    call('ZADD', set_key(p, group, 'queued'), job.place, id)
    call('HSET', job_key(p, id), 'status', 'queued')
  end
end

-- any unfinished status -> a finished one, kept for the group's retention
local function complete(p, group, id, job, status, completed_at, now)
  call('ZREM', set_key(p, group, job.status), id)
  call('ZADD', set_key(p, group, status), whole(now), id)
  if job.status == 'running' then forget_run(p, id) end
  call('HSET', job_key(p, id), 'status', status, 'completed_at', whole(completed_at))
  local kept_s = call('HGET', group_key(p, group), 'retention_' .. status) or RETENTION_S[status]
  set_timer(p, status, group, now + kept_s * 1000)
end

-- a new job that does the work of an old one again
local function again(p, group, id, job, new_id, delay_s, max_retries, now)
  local status = delay_s > 0 and 'delayed' or 'queued'
  local values = { 'group_name', group, 'status', status, 'created_at', whole(now), 'retry_of', id,
    'spec', call('HGET', job_key(p, id), 'spec') }
  local function keep(field, value)
    if value then values[#values + 1] = field; values[#values + 1] = value end
  end
  keep('priority', job.priority)
  keep('timeout', job.timeout)
  keep('retries_delay', job.retries_delay)
  keep('max_retries', max_retries > 0 and max_retries)
  keep('delay', delay_s > 0 and delay_s)
  local score = delay_s > 0 and whole(now + delay_s * 1000) or new_place(p, job.priority)
  keep('place', delay_s == 0 and score)
  call('HSET', job_key(p, new_id), unpack(values))
  call('ZADD', set_key(p, group, 'jobs'), whole(now), new_id)
  call('ZADD', set_key(p, group, status), score, new_id)
  if delay_s > 0 then set_timer(p, 'delayed', group, score) end
  call('HSET', job_key(p, id), 'retry_at', new_id)
end

-- the automatic retry of a job that has just failed
local function retry_failed(p, group, id, job, new_id, now)
  local left = tonumber(job.max_retries or 0)
  if left > 0 then
    again(p, group, id, job, new_id, tonumber(job.retries_delay or RETRIES_DELAY_S), left - 1, now)
  end
end

-- a finished job and everything of it is gone, but for its log, which a broker deletes
local function discard(p, group, id, status, log_bytes, now)
  call('ZREM', set_key(p, group, status), id)
  call('ZREM', set_key(p, group, 'jobs'), id)
  call('DEL', job_key(p, id))
  if log_bytes then call('ZADD', p .. ':discarded', whole(now), id) end
end
