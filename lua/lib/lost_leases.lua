-- For reap: ends leases and jobs that are too late, and counts that in their groups.

-- Counts in a list of group requeued failed retried late. Timers come in the order of their times, so a group may come twice.
local function count_end(ends, group, outcome, retries, is_late)
  local n = #ends
  if ends[n - 4] ~= group then
    for i, word in ipairs({ group, 0, 0, 0, 0 }) do ends[n + i] = word end
    n = n + 5
  end
  local at = is_late and n or outcome == 'failed' and n - 2 or n - 3
  ends[at], ends[n - 1] = ends[at] + 1, ends[n - 1] + retries
end

local function is_past_end(job, now) return job.end_before and job.end_before <= now end

-- Queues a running job whose lease has ended, or fails it and creates its automatic retry. Returns the outcome, and whether there
-- is a retry.
local function end_lease(p, group, id, job, new_id, now)
  local delivery_limit = call('HGET', group_key(p, group), 'delivery_limit') or DELIVERY_LIMIT
  local is_over = is_past_end(job, now) or job.deadline and tonumber(job.deadline) <= now or job.deliveries >= tonumber(delivery_limit)
  note_move(p, id, now, 'lease_lost', '', job, is_over and 'failed' or 'queued')
  if not is_over then
    requeue(p, group, id, rank_in_token(job.lease) or new_rank(p, job.priority), job.deliveries, 0, now)
    return 'requeued', false
  end
  finish_without_report(p, group, id, job, 'failed', 'timeout', now)
  return 'failed', retry_failed(p, group, id, job, new_id, now)
end

-- Fails a waiting job whose deadline has passed, and notes the next one of another job. Returns whether it failed.
local function fail_late(p, group, id, job, now)
  local at = not RETENTION_S[job.status] and deadline_of(job, job.deliveries)
  if not at or at > now then
    if at then set_deadline(p, group, id, job, job.deliveries) else call('ZREM', set_key(p, group, 'expiring'), id) end
    return false
  end
  note_move(p, id, now, 'late', '', job, 'failed')
  finish_without_report(p, group, id, job, 'failed', is_past_end(job, now) and 'timeout' or 'expired', now)
  return true
end
