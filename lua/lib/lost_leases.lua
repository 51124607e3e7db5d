-- For reap: counts a lost lease in its group, in a list of group requeued failed retried. Timers come in the order of their times,
-- so a group may come twice.
local function count_lost(lost, group, outcome, retries)
  local n = #lost
  if lost[n - 3] ~= group then lost[n + 1], lost[n + 2], lost[n + 3], lost[n + 4], n = group, 0, 0, 0, n + 4 end
  local at = outcome == 'failed' and n - 1 or n - 2
  lost[at], lost[n] = lost[at] + 1, lost[n] + retries
end

-- Ends a running job whose lease was lost for the last time, under its policy: it failed by `timeout`. Whether it is tried again;
-- if not, the job still runs.
local function lose_under_policy(p, group, id, policy, job, now)
  local failure = { reason = 'timeout', error = '', what = 'lease_lost', token = '*', created_at = job.created_at }
  failure.deliveries, failure.started_at = job.deliveries, job.started_at
  local at = count_failure(p, group, id, policy, failure, now)
  if not at then return false end
  call('ZREM', set_key(p, group, 'running'), id)
  call('HSET', executions_key(p), id, job.deliveries)
  set_timer(p, 'delayed', group, at)
  return true
end
