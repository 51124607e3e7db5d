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
-- with    _holding _moves
local p, now, want, first = KEYS[1], clock(ARGV[1]), ARGV[2], 3
local SEEN = { 'group_name', 'status', 'lease', 'finished_by', 'max_retries' }
local ended, with_news = {}, {}

local function finish(group, id, lease, status, reason, text, completed_at, new_id)
  local job = find(p, group, id, SEEN)
  local finished_by = lease ~= '' and lease or '-'
  local is_repeat = job and job.status == status and job.finished_by == finished_by
  local refused = not is_repeat and refusal(p, group, id, job, lease)
  if refused then return refused end

  if not is_repeat then
    local more = {}
    if reason ~= '' then more = { 'reason', reason } end
    if text ~= '' then more[#more + 1] = 'error'; more[#more + 1] = text end
    close(p, id, status, plausible(p, id, tonumber(completed_at), now), 'finished_by', finished_by, unpack(more))
    ended[group] = ended[group] or { succeeded = {}, failed = {} }
    table.insert(ended[group][status], id)
    if status == 'failed' and job.max_retries then
      retry_failed(p, group, id, tonumber(job.max_retries), new_id, now)
      with_news[group] = true
    end
  end

  return want == 'job' and row(p, id) or { id, 'ok' }
end

local items = {}
for at = first, #ARGV, 8 do items[#items + 1] = finish(unpack(ARGV, at, at + 7)) end
for group, ids in pairs(ended) do
  if #ids.succeeded > 0 then file(p, group, ids.succeeded, 'running', 'succeeded', now) end
  if #ids.failed > 0 then file(p, group, ids.failed, 'running', 'failed', now) end
  if with_news[group] or call('HEXISTS', group_key(p, group), 'max_concurrency') == 1 then refresh_ready(p, group) end
end
return replies(items)
