-- finish: succeed or fail running jobs; a failed one that has retries left is made anew.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] want       'job' for whole jobs in the reply, or ''
-- ARGV[3] jobs       for each: group id lease status reason error completed_at new_id; '' where not given;
--                    completed_at ms, kept for display where it is plausible; new_id of the job that an automatic retry makes
--
-- moves   running -> succeeded, running -> failed
-- reply   for each job: id, with field value field value… when wanted; or its refusal. A repeat changes nothing.
-- refuses NOT_FOUND WRONG_STATE LEASE_LOST
-- flags   allow-oom
-- with    _moves
local p, now, want, first = KEYS[1], clock(ARGV[1]), ARGV[2], 3
local touched = {}

local function finish(group, id, lease, status, reason, text, completed_at, new_id)
  local job = find(p, group, id)
  local finished_by = lease ~= '' and lease or '-'
  local is_repeat = job and job.status == status and job.finished_by == finished_by
  local refused = not is_repeat and refusal(p, group, job, lease)
  if refused then return refused end

  if not is_repeat then
    complete(p, group, id, job, status, plausible(job, tonumber(completed_at), now), now)
    call('HSET', job_key(p, id), 'finished_by', finished_by)
    if reason ~= '' then call('HSET', job_key(p, id), 'reason', reason) end
    if text ~= '' then call('HSET', job_key(p, id), 'error', text) end
    if status == 'failed' then retry_failed(p, group, id, job, new_id, now) end
    touched[group] = true
  end

  return want == 'job' and row(p, id) or { id, 'ok' }
end

local items = {}
for at = first, #ARGV, 8 do items[#items + 1] = finish(unpack(ARGV, at, at + 7)) end
for group in pairs(touched) do refresh_ready(p, group) end
return replies(items)
