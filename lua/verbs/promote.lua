-- promote: queue a delayed job now, before its delay ends.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] group      name
-- ARGV[3] id         of the job
-- ARGV[4] actor      who does it, for the history; or ''
--
-- moves   delayed -> queued
-- reply   id field value field value…
-- refuses NOT_FOUND WRONG_STATE
-- flags   allow-oom
-- with    record job requeue settling dependencies lanes fair_keys key_turns places promotion history
local p, now, group, id, actor = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]

local job = find_job(p, group, id, 'rank', 'key', 'needs')
if not job then return not_found() end
if job.status ~= 'delayed' then return wrong_state(job) end
if is_held(p, group, id) then
  return wrong_state(job, job.needs == 'key' and 'It waits for a place of its key.' or 'It waits for other jobs.')
end

note_move(p, id, now, 'promoted', actor, job, 'queued')
queue_delayed(p, group, id, job.rank, job.priority, job.key)
refresh_ready(p, group)

return read_row(p, group, id)
