-- retry: do a finished job again, as a new job; the old one stays as it is.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] group      name
-- ARGV[3] id         of the finished job
-- ARGV[4] new_id     of the new job
--
-- moves   succeeded -> succeeded, failed -> failed, cancelled -> cancelled
-- reply   the new job: id field value field value…
-- refuses NOT_FOUND WRONG_STATE
-- with    _moves
local p, now, group, id, new_id = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]

local job = find(p, group, id, { 'group_name', 'status', 'max_retries', 'retry_at' })
if not job then return not_found() end
if not RETENTION_S[job.status] then return wrong_state(p, id, job.status) end
if job.retry_at then return wrong_state(p, id, job.status, 'It was retried already, as ' .. job.retry_at .. '.') end

again(p, group, id, new_id, 0, tonumber(job.max_retries or 0), now)
refresh_ready(p, group)

return row(p, new_id)
