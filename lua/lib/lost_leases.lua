-- For reap: ends leases and jobs that are too late, and counts that in their groups.

-- Counts in a list of group requeued failed retried late copies. Timers come in the order of their times, so a group may come twice.
local function count_end(ends, group, outcome, retries, n_late)
  local n = #ends
  if ends[n - 5] ~= group then
    for i, word in ipairs({ group, 0, 0, 0, 0, 0 }) do ends[n + i] = word end
    n = n + 6
  end
  local at = n_late and n - 1 or outcome == 'failed' and n - 3 or n - 4
  ends[at], ends[n - 2] = ends[at] + (n_late or 1), ends[n - 2] + retries
end

-- This list with the groups that got copies of dead letters.
local function with_copies(ends)
  for to, n in pairs(copied) do
    for _, word in ipairs({ to, 0, 0, 0, 0, n }) do ends[#ends + 1] = word end
  end
  return ends
end

local function is_past_end(job, now) return job.end_before and job.end_before <= now end

-- Ends a running job whose lease was lost for the last time, under its policy: it failed by `timeout`. Whether it is tried again;
-- if not, the job still runs.
local function lose_under_policy(p, group, id, policy, job, now)
  local failure = { reason = 'timeout', error = '', what = 'lease_lost', token = '*', created_at = job.created_at }
  failure.deliveries, failure.started_at, failure.end_before = job.deliveries, job.started_at, job.end_before
  local at = count_failure(p, group, id, policy, failure, now)
  if not at then return false end
  call('ZREM', set_key(p, group, 'running'), id)
  if job.hooks and job.hooks >= 2 then give_place_on(p, group, id, now) end
  call('HSET', executions_key(p), id, job.deliveries)
  set_timer(p, 'delayed', group, at)
  return true
end

-- Queues a running job whose lease has ended, or fails it and creates its automatic retry or its dead letter, or has it wait for
-- its next try.
-- Returns the outcome, and whether it is retried. delivery_limit does not count deliveries that ended with a failure.
local function end_lease(p, group, id, job, attempts, new_id, now)
  local delivery_limit, default = unpack(call('HMGET', group_key(p, group), 'delivery_limit', 'retry'))
  local n_lost, policy, is_late = job.deliveries - (attempts or 0), policy_for(job, job.record, default), is_past_end(job, now)
  local has_ended = is_late or job.deadline and tonumber(job.deadline) <= now
  local is_over = has_ended or n_lost >= tonumber(delivery_limit or DELIVERY_LIMIT)
  if is_over and policy and not is_late and lose_under_policy(p, group, id, policy, job, now) then return 'failed', true end
  note_move(p, id, now, 'lease_lost', '', job, is_over and 'failed' or 'queued')
  if not is_over then
    requeue(p, group, id, rank_in_token(job.lease) or new_rank(p, group, job.priority), job.deliveries, 0, now)
    return 'requeued', false
  end
  local dead_letter_to = finish_without_report(p, group, id, job, 'failed', 'timeout', now)
  local is_retried = not policy and retry_failed(p, group, id, job, new_id, now)
  if dead_letter_to and not is_retried then copy_dead_letter(p, group, id, dead_letter_to, new_id, now) end
  return 'failed', is_retried
end

-- Fails a waiting job whose deadline has passed, and notes the next one of another job. Returns whether it failed.
local function fail_late(p, group, id, job, new_id, now)
  local at = not RETENTION_S[job.status] and deadline_of(job, job.deliveries)
  if not at or at > now then
    if at then set_deadline(p, group, id, job, job.deliveries) else call('ZREM', set_key(p, group, 'expiring'), id) end
    return false
  end
  note_move(p, id, now, 'late', '', job, 'failed')
  local reason = is_past_end(job, now) and 'timeout' or 'expired'
  local dead_letter_to = finish_without_report(p, group, id, job, 'failed', reason, now)
  if dead_letter_to then copy_dead_letter(p, group, id, dead_letter_to, new_id, now) end
  return true
end
