-- remove: forget a finished job.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] group      name
-- ARGV[3] id         of the job
--
-- moves   succeeded -> -, failed -> -, cancelled -> -
-- reply   1 when a log is left to delete, else 0
-- refuses NOT_FOUND WRONG_STATE
-- flags   allow-oom
-- with    _ends
local p, now, group, id = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3]

local job = find(p, group, id, { 'group_name', 'status', 'log_bytes' })
if not job then return not_found() end
if not RETENTION_S[job.status] then return wrong_state(p, id, job.status) end

discard(p, group, id, job.status, job.log_bytes, now)

return job.log_bytes and 1 or 0
