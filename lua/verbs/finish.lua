-- finish: succeed or fail running jobs; a failed job that has retries left is retried, or waits for its next try.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] with_jobs  'job' to have the jobs in the reply, or ''
-- ARGV[3] reports    in parts, of one group and one new status: group, status, number of jobs, words for each job; then for
--                    each job: id lease, or id lease reason error completed_at new_id, or these and receipt, or these and
--                    retry_after result; '' if not given. completed_at: ms, stored for display if plausible. new_id: id for
--                    the retry or copy of a failed job; with ! before it for no retry. retry_after: wait before it, s. result: JSON
--
-- moves   running -> succeeded, running -> failed, running -> delayed
-- reply   for each: 1, 2 if it is retried, 0 for a repeat; or its refusal. Copied jobs, and a sample of 16 at most, have instead of
--           1 and 2: execution; 1 if retried, or the copy's group. with_jobs: record status execution FINISHED_FIELDS (nil if
--           not set); 1 for a repeat, or the copy's group
-- refuses NOT_FOUND WRONG_STATE LEASE_LOST
-- flags   allow-oom
-- with    group_settings record settling completion held_jobs reports
--           (job lease requeue history retry_policy lanes fair_keys key_turns automatic_retries dead_letters report_details)
local p, now, with_jobs, first = KEYS[1], clock(ARGV[1]), ARGV[2], 3
local rounds = split_into_rounds(ARGV, first)
local are_set, items, n_items, timers, unsettled, step = any_set(p, rounds.groups), {}, 0, {}, {}, math.ceil(rounds.n / 16)
local rare = nil -- what few calls need: made once
local function rarely() rare = rare or load_report_details() return rare end
local endings = { succeeded = ' succeeded ' .. digits(now), failed = ' failed ' .. digits(now) }

-- Finishes the jobs of a part of a round. Returns the ids of those that ended, whether one is retried, and whether any ran.
local function finish(round, part, is_strict, default, dead_letter_to)
  local group, status, at, words, finished = part.group, part.status, part.at, part.words, round.finished
  local n, is_held, ended, hooked, any_retried, any_held = #finished, remove_held(p, round, part, is_strict), {}, {}, false, false
  for i = part.first, part.last do
    local copied_to, id, lease, execution, ending, is_retried, due = nil, round.ids[i], ARGV[at + 1], round.executions[i], endings[status]
    if is_held[i] then
      if words ~= 2 then
        local record = with_spec(p, id, round.records[i])
        local run = { execution = execution, token = lease ~= '' and lease or '-', default = default, dead_letter_to = dead_letter_to }
        ending, is_retried, due, copied_to = rarely().apply(p, now, group, id, record, status, run, unpack(ARGV, at + 2, at + words - 1))
      end
      execution, any_held = (lease ~= '' and execution or string.gsub(execution, '^%S+', '-')) .. ending, true
      finished[n + 1], finished[n + 2], n = id, execution, n + 2
      if due then
        finished[n], timers[#timers + 1], timers[#timers + 2] = string.match(execution, '^%S+ (%d+)'), due, 'delayed:' .. group
      else
        local run = round.executions[i]
        ended[#ended + 1], any_retried = id, any_retried or is_retried
        if byte(run, -1) == PLUS then hooked[#hooked + 1], unsettled[#unsettled + 1] = id, byte(run, -2) == PLUS and id or nil end
      end
      if with_jobs == 'job' then
        items[n_items + 1] = finished_row(p, id, round.records[i], due and 'delayed' or status, execution, words ~= 2, copied_to)
      else
        local is_row = copied_to or n_items % step == 0
        items[n_items + 1] = is_row and { execution, copied_to or is_retried and 1 or nil } or is_retried and 2 or 1
      end
    else
      items[n_items + 1] = rarely().late_report(p, group, status, id, lease, with_jobs == 'job')
    end
    at, n_items = at + words, n_items + 1
  end
  call_many('ZREM', set_key(p, group, 'expiring'), hooked)
  return ended, any_retried, any_held
end

local function finish_part(round, part)
  local has_limit, is_strict, retention_s, default, dead_letter_to
  if are_set then
    local fields = { 'max_concurrency', 'require_lease', 'retention_' .. part.status, 'retry', 'dead_letter_to' }
    has_limit, is_strict, retention_s, default, dead_letter_to = unpack(call('HMGET', group_key(p, part.group), unpack(fields)))
  end
  local ended, is_retried, any_held = finish(round, part, is_strict, default, dead_letter_to)
  if #ended > 0 then move_to_finished(p, part.group, ended, part.status, retention_s, now, timers) end
  if has_limit and any_held or is_retried then refresh_ready(p, part.group) end
end

for i = 1, #rounds do
  local round = rounds[i]
  read_jobs(p, round, with_jobs == 'job' or round.has_details)
  for j = 1, #round.parts do finish_part(round, round.parts[j]) end
  call_many('HSET', executions_key(p), round.finished)
end
settle_later(p, unsettled, now, timers)
return replies(items)
