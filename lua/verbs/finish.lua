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
-- with    group_settings record job lease requeue completion reports
local p, now, want, first = KEYS[1], clock(ARGV[1]), ARGV[2], 3
local rounds = split_into_rounds(ARGV, first)
local are_set, items, timers = any_set(p, rounds.groups), {}, {}
local ends_now = { succeeded = ' succeeded ' .. whole(now), failed = ' failed ' .. whole(now) }

-- a job that is not held, or not by this token: its item when this very report has ended it, or the refusal
local function late_item(group, status, id, lease)
  local job = find(p, group, id)
  local is_repeat = job and job.status == status and job.lease == (lease ~= '' and lease or '-') and lease ~= '*'
  if not is_repeat then return refusal(p, group, id, job, lease) end
  return want == 'job' and shown(p, id, job.text, status, job.run, true) or 1
end

-- end the jobs of a part of a round: the ids of those that are over now, and whether one is retried
local function finish(round, part, is_strict)
  local group, status, at, words = part.group, part.status, part.at, part.words
  local is_held, ended, any_retried, over, n = remove_held(p, round, part, is_strict), {}, false, round.over, #round.over
  for i = part.first, part.last do
    local id, lease, run, ends, is_retried = round.ids[i], ARGV[at + 1], round.runs[i], ends_now[status], false
    if is_held[i] then
      if words ~= 2 then
        local job = with_spec(p, id, round.texts[i])
        ends, is_retried = apply_report(p, now, group, id, job, status, unpack(ARGV, at + 2, at + words - 1))
      end
      run = (lease ~= '' and run or string.gsub(run, '^%S+', '-')) .. ends
      over[n + 1], over[n + 2], n = id, run, n + 2
      ended[#ended + 1], any_retried = id, any_retried or is_retried
      items[#items + 1] = want == 'job' and shown(p, id, round.texts[i], status, run, words ~= 2) or 1
    else
      items[#items + 1] = late_item(group, status, id, lease)
    end
    at = at + words
  end
  return ended, any_retried
end

local function finish_part(round, part)
  local has_news, is_strict, kept_s
  if are_set then
    local settings = call('HMGET', group_key(p, part.group), 'max_concurrency', 'require_lease', 'retention_' .. part.status)
    has_news, is_strict, kept_s = unpack(settings)
  end
  local ended, is_retried = finish(round, part, is_strict)
  if #ended > 0 then
    move_to_finished(p, part.group, ended, part.status, kept_s, now, timers)
    if has_news or is_retried then refresh_ready(p, part.group) end
  end
end

for i = 1, #rounds do
  local round = rounds[i]
  read(p, round, want == 'job' or round.is_noted)
  for j = 1, #round.parts do finish_part(round, round.parts[j]) end
  many('HSET', executions_key(p), round.over)
end
set_timers(p, timers)
return replies(items)
