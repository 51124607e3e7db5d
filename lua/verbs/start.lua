-- start: report that a job runs now, and renew its lease; a queued job is dequeued.
--
-- KEYS[1] partition   name    every key of the partition begins with it
-- ARGV[1] now         ms, or '' for the server's own clock
-- ARGV[2] group       name
-- ARGV[3] id          of the job
-- ARGV[4] lease       the token, or '' (a client without tokens, or a queued job)
-- ARGV[5] new_lease   first part of the token, a word, for a queued job; the rest is '-' and its rank
-- ARGV[6] started_at  ms, or '' for now; stored for display if it is plausible
-- ARGV[7] grace_ms    how much longer than the job's timeout a short lease may last, ms
--
-- moves   queued -> running, running -> running
-- reply   id field value field value…, with the group's env_vars
-- refuses NOT_FOUND WRONG_STATE LEASE_LOST LIMIT_REACHED
-- flags   allow-oom
-- with    record deadlines job lease rate_limit
local p, now, group, id = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3]
local lease, new_lease, started_at, grace_ms = ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])

local job = find_job(p, group, id)
local is_queued = job and job.status == 'queued' and lease == ''
local free, rate, bucket
if is_queued then
  free, rate = room(p, group)
  bucket = rate and { allowance(p, group, rate, now) }
  if bucket then free = math.min(free, bucket[1]) end
  local deadline = deadline_of(job, job.deliveries)
  if deadline and deadline <= now then return wrong_state(job, 'Its deadline has passed.') end
  if free == 0 then return refuse('LIMIT_REACHED', 'The group is paused, or at its max_concurrency or rate_limit.') end
else
  local refused = refusal(p, group, id, job, lease)
  if refused then return refused end
  if lease == '' and job.started_by == 'start' then return wrong_state(job, 'It was started by another client.') end
end

local how = job.started_by
if is_queued then
  local rank = call('ZSCORE', set_key(p, group, 'queued'), id)
  call('ZREM', set_key(p, group, 'queued'), id)
  job.deliveries, job.lease, how = job.deliveries + 1, new_lease .. '-' .. rank, 'start'
elseif job.deadline then
  job.deadline = now + (job.timeout or TIMEOUT_S) * 1000
  how = job.lease_s .. ' ' .. digits(job.deadline)
end
local lease_end = new_lease_end(job, now, grace_ms)
local words = { job.lease, job.deliveries, digits(plausible(started_at, job.created_at, now)), how }
if job.hooks then
  words[#words + 1] = job.hooks >= 2 and '++' or '+'
  set_deadline(p, group, id, job, job.deliveries)
end
call('HSET', executions_key(p), id, table.concat(words, ' '))
call('ZADD', set_key(p, group, 'running'), lease_end, id)
set_timer(p, 'running', group, lease_end)
if bucket then spend(p, group, 1, now, unpack(bucket)) end
refresh_ready(p, group)

local reply = read_row(p, group, id)
local env_vars = call('HGET', group_key(p, group), 'env_vars')
if env_vars then reply[#reply + 1] = 'env_vars'; reply[#reply + 1] = env_vars end
return reply
