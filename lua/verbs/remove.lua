-- remove: delete a finished job.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] group      name
-- ARGV[3] id         of the job
--
-- moves   succeeded -> -, failed -> -, cancelled -> -
-- reply   1 if the job has a log, which the broker must delete; else 0; 2 if its end must be settled first
-- refuses NOT_FOUND WRONG_STATE
-- flags   allow-oom
-- with    record job deletion
local p, now, group, id = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3]

local job = find_job(p, group, id)
if not job then return not_found() end
if not RETENTION_S[job.status] then return wrong_state(job) end
if #settled_of(p, { id }) == 0 then return 2 end

return delete_jobs(p, group, { id }, job.status, now)
