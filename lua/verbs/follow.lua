-- follow: read the state of a job for a client that follows its log.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] group      name
-- ARGV[3] id         of the job
--
-- moves   -
-- reply   now, ms; status, deliveries, log_bytes, log_more, completed_at; nil where not set
-- refuses NOT_FOUND
-- flags   no-writes
-- with    record job
local p, now, group, id = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3]

local job = find_job(p, group, id, 'log_bytes', 'log_more')
if not job then return not_found() end

return { now, job.status, job.deliveries, job.log_bytes or false, job.log_more or false, job.completed_at or false }
