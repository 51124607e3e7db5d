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
-- reply   for each job: 1, or where it is wanted text status run SHOWN (nil if not set); or its refusal, which a repeat has none of
-- refuses NOT_FOUND WRONG_STATE LEASE_LOST
-- flags   allow-oom
-- with    _settings _texts _jobs _holding _moves _ends _reports
local p, now, want, first = KEYS[1], clock(ARGV[1]), ARGV[2], 3
local runs, groups, at = {}, {}, first
while at < #ARGV do
  runs[#runs + 1], groups[#groups + 1] = at, ARGV[at]
  at = at + 4 + ARGV[at + 2] * ARGV[at + 3]
end
local are_set, items, timers = any_set(p, groups), {}, {}

-- a job that is not held, or not by this token: its item when this very report has ended it, or the refusal
local function late_item(group, status, id, lease)
  write_over(p)
  local job = find(p, group, id)
  local is_repeat = job and job.status == status and job.lease == (lease ~= '' and lease or '-') and lease ~= '*'
  if not is_repeat then return refusal(p, group, id, job, lease) end
  return want == 'job' and shown(p, id, job.text, status, job.run, true) or 1
end

local ends_now = { succeeded = ' succeeded ' .. whole(now), failed = ' failed ' .. whole(now) }

-- end the jobs of these ids, whose reports begin at `at`: those that are over now, and whether one is retried
local function finish(group, status, is_strict, ids, at, words)
  local is_held, before = take_out(p, group, is_strict, ids, at, words)
  local ended, any_retried = {}, false
  local texts = (want == 'job' or words ~= '2') and call('HMGET', jobs_key(p), unpack(ids)) or {}
  for i = 1, #ids do
    local id, lease, run, ends, is_retried = ids[i], ARGV[at + 1], before[i], ends_now[status], false
    if is_held[i] then
      if words ~= '2' then
        ends, is_retried = note(p, now, group, id, with_spec(p, id, texts[i]), status, unpack(ARGV, at + 2, at + words - 1))
      end
      run = (lease ~= '' and run or string.gsub(run, '^%S+', '-')) .. ends
      note_over(id, run)
      ended[#ended + 1], any_retried = id, any_retried or is_retried
      items[#items + 1] = want == 'job' and shown(p, id, texts[i], status, run, words ~= '2') or 1
    else
      items[#items + 1] = late_item(group, status, id, lease)
    end
    at = at + words
  end
  return ended, any_retried
end

local function finish_run(at)
  local group, status, n, words = unpack(ARGV, at, at + 3)
  local has_news, is_strict, kept_s
  if are_set then
    local settings = call('HMGET', group_key(p, group), 'max_concurrency', 'require_lease', 'retention_' .. status)
    has_news, is_strict, kept_s = unpack(settings)
  end
  at, n = at + 4, tonumber(n)
  while n > 0 do
    local ids = next_ids(at, n, words)
    local ended, is_retried = finish(group, status, is_strict, ids, at, words)
    at, n = at + #ids * words, n - #ids
    if #ended > 0 then
      file(p, group, ended, status, kept_s, now, timers)
      if has_news or is_retried then refresh_ready(p, group) end
    end
  end
end

for i = 1, #runs do finish_run(runs[i]) end
write_over(p)
set_timers(p, timers)
return replies(items)
