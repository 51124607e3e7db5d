-- retry: create a new job that repeats a finished one; the old job keeps its status.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] group      name
-- ARGV[3] id         of the finished job
-- ARGV[4] new_id     of the new job
-- ARGV[5] max_jobs   how many unfinished jobs a group without a limit of its own may have, or 0
-- ARGV[6] max_bytes  how many bytes these may have, or 0
-- ARGV[7] actor      who does it, for the history; or ''
-- ARGV[8] set        settings of the new job, JSON: a number, or null for the default; or nothing for those of the old one
-- ARGV[9] image      of the new job as a JSON string, or '' for that of the old one
-- ARGV[10] payload   of the new job as a JSON string, null for none, or '' for that of the old one
--
-- moves   succeeded -> succeeded, failed -> failed, cancelled -> cancelled
-- reply   the new job: id field value field value…
-- refuses NOT_FOUND WRONG_STATE LIMIT_REACHED DUPLICATE
-- with    record job requeue group_limits own_limits history retry_changes unique settling dependencies lanes fair_keys key_turns places
local p, now, group, id, new_id = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local max_jobs, max_bytes, actor = ARGV[5], ARGV[6], ARGV[7]
local set, image, payload = ARGV[8], ARGV[9], ARGV[10]

max_jobs, max_bytes = limits_of(p, group, max_jobs, max_bytes)
local job = find_job(p, group, id, 'retry_at', 'unique_key', 'key')
if not job then return not_found() end
if not RETENTION_S[job.status] then return wrong_state(job) end
if job.retry_at then return wrong_state(job, 'It was retried already, as ' .. job.retry_at .. '.') end
local settings, spec
if set then settings, spec = changed_job(p, id, job.record, set, image, payload) end
local refused = max_jobs + max_bytes > 0
  and over_limit(p, group, 1, spec and #spec or job.size, max_jobs, max_bytes)
if refused then return refused end
local _, _, _, holder_id = holder_of(p, group, job.unique_key or '', now)
if holder_id and holder_id ~= id then return refuse('DUPLICATE', 'The job ' .. holder_id .. ' holds its unique key.') end

local delay_s, max_retries = set and settings.delay or 0, (settings or job).max_retries or 0
local how = { counts = max_bytes > 0, settings = settings, spec = spec, hooks = (job.unique_key or job.scheduled_for or job.key) and 2 }
create_retry(p, group, id, new_id, delay_s, max_retries, now, how)
move_key(p, group, id, new_id, now)
pass_key_on(p, group, id, new_id)
note_move(p, id, now, 'retried', actor, job, job.status, 'job', new_id)
refresh_ready(p, group)

return read_row(p, group, new_id)
