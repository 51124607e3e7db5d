-- finish: succeed or fail running jobs; a failed one that has retries left is made anew.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] want       'job' for the jobs in the reply, or ''
-- ARGV[3] runs       of jobs of a group that end alike: group, status, how many, how many words each; then for each job:
--                    id lease, or id lease reason error completed_at new_id, or with a receipt behind that; '' where not given;
--                    completed_at ms, kept for display where plausible; new_id of the job that an automatic retry makes,
--                    without which none is made
--
-- moves   running -> succeeded, running -> failed
-- reply   for each job: 1, or where it is wanted SEEN (nil if not set); or its refusal. A repeat changes nothing.
-- refuses NOT_FOUND WRONG_STATE LEASE_LOST
-- flags   allow-oom
-- with    _settings _holding _moves _ends
local p, now, want, first = KEYS[1], clock(ARGV[1]), ARGV[2], 3
local SEEN = { 'group_name', 'status', 'lease', 'lease_s', 'handed_out_by', 'max_retries', 'created_at', 'receipts',
  'completed_at', 'reason', 'error', 'retry_at', 'spec', 'started_at', 'deliveries', 'timeout', 'priority', 'delay',
  'retries_delay', 'retry_of' }
local GROUP, STATUS, LEASE, LEASE_S, HANDED_OUT_BY, MAX_RETRIES, CREATED_AT, RECEIPTS = 1, 2, 3, 4, 5, 6, 7, 8
local COMPLETED_AT, REASON, ERROR, RETRY_AT = 9, 10, 11, 12
local completed_now, looks = whole(now), #SEEN -- how many of SEEN are looked at: no more than a run needs

-- the job's SEEN as they are now, or its refusal; whether it is over now and must be filed; and whether a retry was made
local function finish(group, status, is_strict, id, lease, reason, text, completed_at, new_id, receipt)
  local key, token = p .. ':job:' .. id, lease ~= '' and lease or '-'
  local seen = call('HMGET', key, unpack(SEEN, 1, looks))
  local is_held = seen[LEASE] == lease or lease == '' and not is_strict
  if not (is_held and seen[GROUP] == group and seen[STATUS] == 'running') then
    local job = find(p, group, id, SEEN)
    if job and job.status == status and job.lease == token then return seen end
    return refusal(p, group, id, job, lease)
  end

  local ended_at = completed_at and plausible(tonumber(completed_at), seen[CREATED_AT], now) or completed_now
  if receipt then
    call('HSET', key, 'status', status, 'completed_at', ended_at, 'receipts', receipts_with(seen[RECEIPTS], receipt))
  else
    call('HSET', key, 'status', status, 'completed_at', ended_at)
  end
  if token ~= lease then call('HSET', key, 'lease', token) end
  seen[STATUS], seen[LEASE], seen[COMPLETED_AT] = status, token, ended_at
  if seen[LEASE_S] or seen[HANDED_OUT_BY] then call('HDEL', key, 'lease_s', 'deadline', 'handed_out_by') end
  if reason and reason ~= '' then call('HSET', key, 'reason', reason); seen[REASON] = reason end
  if text and text ~= '' then call('HSET', key, 'error', text); seen[ERROR] = text end
  local is_retried = status == 'failed' and new_id and seen[MAX_RETRIES]
  if is_retried then retry_failed(p, group, id, tonumber(is_retried), new_id, now); seen[RETRY_AT] = new_id end
  return seen, true, is_retried
end

local runs, groups, at = {}, {}, first
while at < #ARGV do
  runs[#runs + 1], groups[#groups + 1] = at, ARGV[at]
  at = at + 4 + ARGV[at + 2] * ARGV[at + 3]
end
local are_set, items, timers = any_set(p, groups), {}, {}

local function finish_run(at)
  local group, status, n, words = unpack(ARGV, at, at + 3)
  local fields, has_news, is_strict, kept_s = { 'max_concurrency', 'require_lease', 'retention_' .. status }
  if are_set then has_news, is_strict, kept_s = unpack(call('HMGET', group_key(p, group), unpack(fields))) end
  if want ~= 'job' then looks = words == '2' and HANDED_OUT_BY or RECEIPTS end
  local ended = {}
  at = at + 4
  for _ = 1, n do
    local told, is_over, is_retried = finish(group, status, is_strict, unpack(ARGV, at, at + words - 1))
    if is_over then ended[#ended + 1] = ARGV[at] end
    has_news = has_news or is_retried
    items[#items + 1] = (want == 'job' or told.err) and told or 1
    at = at + words
  end
  if #ended > 0 then
    file(p, group, ended, 'running', status, kept_s, now, timers)
    if has_news then refresh_ready(p, group) end
  end
end

for i = 1, #runs do finish_run(runs[i]) end
set_timers(p, timers)
return replies(items)
