-- cancel: cancel a job that is not finished; of a cancelled job nothing changes.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] group      name
-- ARGV[3] id         of the job
--
-- moves   delayed -> cancelled, queued -> cancelled, running -> cancelled, cancelled -> cancelled
-- reply   id field value field value…
-- refuses NOT_FOUND WRONG_STATE
-- flags   allow-oom
-- with    record job requeue completion notices_stream
local p, now, group, id = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3]

local job = find_job(p, group, id)
if not job then return not_found() end
if job.status == 'succeeded' or job.status == 'failed' then return wrong_state(job) end

if job.status ~= 'cancelled' then
  finish_without_report(p, group, id, job.status, 'cancelled', 'client_request', now)
  if job.status == 'running' then add_notice(p, 'cancelled ' .. group .. ' ' .. id) end
  refresh_ready(p, group)
end

return read_row(p, group, id)
