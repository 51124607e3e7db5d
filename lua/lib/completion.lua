-- For scripts that finish jobs.

-- Finished jobs no longer count in the bytes of their group (see group_limits.lua).
local is_counting -- 1 if any group has a sum of bytes; read once per call
local function subtract_bytes(p, group, ids)
  is_counting = is_counting or call('EXISTS', p .. ':bytes')
  local before, sum = is_counting == 1 and call('ZSCORE', p .. ':bytes', group), 0
  if not before then return end
  local records = call('HMGET', jobs_key(p), unpack(ids))
  for i = 1, #ids do sum = sum + (records[i] and byte(records[i]) == BRACE and string.match(records[i], '^%S+"bytes":(%d+)') or 0) end
  if before - sum > 0 then call('ZINCRBY', p .. ':bytes', -sum, group) else call('ZREM', p .. ':bytes', group) end
end

-- Adds jobs to the set of their finished status, for retention_s or the default, and appends their timer to `timers`.
local function move_to_finished(p, group, ids, status, retention_s, now, timers)
  local completed, completed_at = {}, digits(now)
  for i = 1, #ids do completed[2 * i - 1] = completed_at; completed[2 * i] = ids[i] end
  call_many('ZADD', set_key(p, group, status), completed)
  subtract_bytes(p, group, ids)
  timers[#timers + 1] = now + (retention_s or RETENTION_S[status]) * 1000; timers[#timers + 1] = status .. ':' .. group
end

-- Finishes one job that no consumer reported on: one that is cancelled, or was too late. Returns dead_letter_to of its group.
local function finish_without_report(p, group, id, job, status, reason, now)
  local timers = {}
  local started_at = job.started_at and digits(job.started_at) or '-'
  call('HSET', executions_key(p), id, table.concat({ '*', job.deliveries, started_at, status, digits(now) }, ' '))
  call('HSET', job_key(p, id), 'reason', reason)
  call('ZREM', set_key(p, group, job.status), id)
  if job.status == 'delayed' then call('HDEL', job_key(p, id), 'needs') end
  if job.hooks then call('ZREM', set_key(p, group, 'expiring'), id) end
  if job.hooks and job.hooks >= 2 then settle_later(p, { id }, now, {}) end
  local retention_s, dead_letter_to = unpack(call('HMGET', group_key(p, group), 'retention_' .. status, 'dead_letter_to'))
  move_to_finished(p, group, { id }, status, retention_s, now, timers)
  set_timers(p, timers)
  return dead_letter_to
end
