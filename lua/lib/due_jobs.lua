-- For reap: what it does with timers other than those of finished jobs. It is loaded when one of them is due.

-- Handles one job of a set, or a unique key, or a batch. Returns the outcome. `step` has now, the ids for new jobs from
-- ARGV[step.next_id] on, and the counts of groups (lost_leases.lua).
local function handle_due(p, set, group, id, step)
  local now = step.now
  if set == 'windows' or set == 'ending' then
    local settle_end = set == 'windows' and refresh_key or end_batch
    settle_end(p, group, id, now)
    return 'noted'
  end
  local job, new_id = find_job(p, group, id, 'rank', 'attempts', 'key'), ARGV[step.next_id]
  step.next_id = step.next_id + 1
  if not job then
    call('ZREM', set_key(p, group, set), id)
    return 'expired'
  end
  if set == 'delayed' then
    queue_delayed(p, group, id, job.rank, job.priority, job.key)
    return 'queued'
  end
  if set == 'expiring' and not (job.status == 'running' and is_past_end(job, now)) then
    if not fail_late(p, group, id, job, new_id, now) then return 'noted' end
    count_end(step.ends, group, 'failed', 0, 1)
    return 'failed'
  end
  local outcome, is_retried = end_lease(p, group, id, job, job.attempts, new_id, now)
  count_end(step.ends, group, outcome, is_retried and 1 or 0)
  return outcome
end

-- Handles jobs of a set whose timers are due: counts the outcomes in step.counts.
local function handle_all(p, set, group, ids, step)
  local counts = step.counts
  local n_late, others = fail_unstarted(p, set, group, ids, step.now, step.ends)
  counts.failed = counts.failed + n_late
  for i = 1, #others do
    local outcome = handle_due(p, set, group, others[i], step)
    counts[outcome] = counts[outcome] + 1
  end
  refresh_ready(p, group)
end

local due_jobs = { handle = handle_all, without_windows = without_windows, with_copies = with_copies }
