-- touch: renew the leases of running jobs.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] grace_ms   how much longer than a job's timeout a short lease may last, ms
-- ARGV[3] batches    of jobs of one group: group, number of jobs, words for each job; then for each job: id lease, or id lease
--                    lease_s progress note; lease is the token, or '' (a client without tokens); '' if not given
--
-- moves   running -> running
-- reply   for each job: the new end of its lease, ms; or its refusal
-- refuses NOT_FOUND WRONG_STATE LEASE_LOST
-- flags   allow-oom
-- with    record job lease
local p, now, grace_ms, at = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), 3

-- A job that runs in the group, from its execution; any other job is searched for.
local function read_job(group, id, is_running, execution)
  if not is_running then return find_job(p, group, id) end
  local job = { status = 'running' }
  parse_execution(job, execution)
  return job
end

-- Keeps how far a job is, with its delivery: what an earlier delivery noted is not shown.
local function keep_progress(id, job, progress, note)
  local fields = {}
  if progress ~= '' then fields = { 'progress', job.deliveries .. ' ' .. progress } end
  if note ~= '' then fields[#fields + 1] = 'note'; fields[#fields + 1] = job.deliveries .. ' ' .. note end
  call_many('HSET', job_key(p, id), fields)
end

local items = {}
while at < #ARGV do
  local group, n, words = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local ids, running, first_end, records = {}, {}, math.huge, nil
  for i = 1, math.min(n, 1000) do ids[i] = ARGV[at + 3 + words * (i - 1)] end -- the rest is read one by one
  local scores = call('ZMSCORE', set_key(p, group, 'running'), unpack(ids))
  local executions = call('HMGET', executions_key(p), unpack(ids))
  at = at + 3
  for i = 1, n do
    local id, lease, lease_s, progress, note = unpack(ARGV, at, at + words - 1)
    local job = read_job(group, id, scores[i], executions[i])
    local has_hooks = scores[i] and byte(executions[i] or '', -1) == PLUS
    if scores[i] and not job.lease_s or has_hooks then
      records = records or call('HMGET', jobs_key(p), unpack(ids))
      job.timeout = timeout_s(records[i] or '')
      if has_hooks then job.end_before = setting_in(records[i] or '', 'end_before') end
    end
    local refused = refusal(p, group, id, job, lease)
    if not refused then
      local lease_end = new_lease_end(job, now, grace_ms, tonumber(lease_s))
      if (lease_s or '') ~= '' then lease_end = math.max(lease_end, scores[i] or 0) end
      running[#running + 1] = lease_end; running[#running + 1] = id
      first_end = math.min(first_end, lease_end)
    end
    if not refused and words > 2 then keep_progress(id, job, progress, note) end
    items[#items + 1] = refused or running[#running - 1]
    at = at + words
  end
  if #running > 0 then
    call_many('ZADD', set_key(p, group, 'running'), running)
    set_timer(p, 'running', group, first_end)
  end
end
return replies(items)
