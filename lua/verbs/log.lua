-- log: record that the log of a job will be stored, or is stored, so that it is always deleted with the job.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] group      name
-- ARGV[3] id         of the job
-- ARGV[4] log_bytes  size of the log, or '' before it is stored
-- ARGV[5] lease      the token of the delivery whose log it is, or ''
-- ARGV[6] more       'more' if the job still runs and more of the log follows, or ''
--
-- moves   running -> running, succeeded -> succeeded, failed -> failed, cancelled -> cancelled
-- reply   id field value field value…
-- refuses NOT_FOUND WRONG_STATE LEASE_LOST
-- flags   allow-oom
-- with    record job lease
local p, group, id, log_bytes, lease, more = KEYS[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local job = find_job(p, group, id)
if not job then return not_found() end
if job.status == 'delayed' or job.status == 'queued' then return wrong_state(job) end
if more ~= '' and job.status ~= 'running' then return wrong_state(job) end
local refused = lease ~= '' and job.status == 'running' and refusal(p, group, id, job, lease)
if refused then return refused end

if log_bytes == '' then
  call('HSETNX', job_key(p, id), 'log_bytes', 0)
else
  call('HSET', job_key(p, id), 'log_bytes', log_bytes)
  if more ~= '' then
    call('HSET', job_key(p, id), 'log_more', job.deliveries)
  else
    call('HDEL', job_key(p, id), 'log_more')
  end
end

return read_row(p, group, id)
