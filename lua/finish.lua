-- finish: succeed or fail running jobs; a failed one that has retries left is made anew.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] want       'job' for whole jobs in the reply, or ''
-- ARGV[3] runs       of jobs of a group that end alike: group, status, how many, how many words each; then for each job:
--                    id lease, or id lease reason error completed_at new_id, or with a receipt behind that; '' where not given;
--                    completed_at ms, kept for display where plausible; new_id of the job that an automatic retry makes
--
-- moves   running -> succeeded, running -> failed
-- reply   for each job: 1, or the job where it is wanted; or its refusal. A repeat changes nothing.
-- refuses NOT_FOUND WRONG_STATE LEASE_LOST
-- flags   allow-oom
-- with    _holding _moves
local p, now, want, at = KEYS[1], clock(ARGV[1]), ARGV[2], 3
local SEEN, completed_now = { 'group_name', 'status', 'lease', 'max_retries', 'lease_s', 'handed_out_by' }, whole(now)

-- its refusal, or nil; whether it is over now and must be filed; and whether a retry of it was made
local function finish(group, status, id, lease, reason, text, completed_at, new_id, receipt)
  local key, token = p .. ':job:' .. id, lease ~= '' and lease or '-'
  local seen = call('HMGET', key, unpack(SEEN))
  if not (seen[1] == group and seen[2] == 'running' and seen[3] == lease) then
    local job = find(p, group, id, SEEN)
    if job and job.status == status and job.lease == token then return nil end
    local refused = refusal(p, group, id, job, lease)
    if refused then return refused end
  end

  local ended_at = completed_at and completed_at ~= '' and plausible(p, id, tonumber(completed_at), now) or completed_now
  call('HSET', key, 'status', status, 'completed_at', ended_at, 'lease', token)
  if seen[5] or seen[6] then call('HDEL', key, 'lease_s', 'deadline', 'handed_out_by') end
  if reason and reason ~= '' then call('HSET', key, 'reason', reason) end
  if text and text ~= '' then call('HSET', key, 'error', text) end
  if receipt then keep_receipt(p, id, receipt) end
  local is_retried = status == 'failed' and seen[4]
  if is_retried then retry_failed(p, group, id, tonumber(seen[4]), new_id, now) end
  return nil, true, is_retried
end

local items = {}
while at < #ARGV do
  local group, status, n, words = unpack(ARGV, at, at + 3)
  local ended, has_news = {}, call('HEXISTS', group_key(p, group), 'max_concurrency') == 1
  at = at + 4
  for _ = 1, n do
    local refused, is_over, is_retried = finish(group, status, unpack(ARGV, at, at + words - 1))
    if is_over then ended[#ended + 1] = ARGV[at] end
    has_news = has_news or is_retried
    items[#items + 1] = refused or want == 'job' and row(p, ARGV[at]) or 1
    at = at + words
  end
  if #ended > 0 then
    file(p, group, ended, 'running', status, now)
    if has_news then refresh_ready(p, group) end
  end
end
return replies(items)
