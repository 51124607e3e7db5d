-- cancel: cancel a job that is not finished; of a cancelled job nothing changes.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] group      name
-- ARGV[3] id         of the job
-- ARGV[4] actor      who does it, for the history; or ''
--
-- moves   delayed -> cancelled, queued -> cancelled, running -> cancelled, cancelled -> cancelled
-- reply   id field value field value…; repeated 1 if it was cancelled before
-- refuses NOT_FOUND WRONG_STATE
-- flags   allow-oom
-- with    record job requeue settling completion notices_stream history
local p, now, group, id, actor = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]

local job = find_job(p, group, id)
if not job then return not_found() end
if job.status == 'succeeded' or job.status == 'failed' then return wrong_state(job) end

if job.status ~= 'cancelled' then
  finish_without_report(p, group, id, job, 'cancelled', 'client_request', now)
  note_move(p, id, now, 'cancelled', actor, job, 'cancelled')
  if job.status == 'running' then add_notice(p, 'cancelled ' .. group .. ' ' .. id) end
  refresh_ready(p, group)
end

local row = read_row(p, group, id)
if job.status == 'cancelled' then row[#row + 1] = 'repeated'; row[#row + 1] = '1' end
return row
