-- Put before the scripts that end jobs, or forget those that are over.

-- jobs that are over no longer count for the bytes of their group (see _limits.lua)
local is_counting -- 1 while any group has such a sum; asked once
local function uncount(p, group, ids)
  is_counting = is_counting or call('EXISTS', p .. ':bytes')
  if is_counting == 0 or not call('ZSCORE', p .. ':bytes', group) then return end
  local sum = 0
  for i = 1, #ids do sum = sum + (call('HGET', job_key(p, ids[i]), 'bytes') or 0) end
  if tonumber(call('ZINCRBY', p .. ':bytes', -sum, group)) <= 0 then call('ZREM', p .. ':bytes', group) end
end

-- jobs that are closed: out of one set, into that of their status, for kept_s or the default; their timer goes to `timers`
local function file(p, group, ids, before, status, kept_s, now, timers)
  local completed, at = {}, whole(now)
  for i = 1, #ids do completed[2 * i - 1] = at; completed[2 * i] = ids[i] end
  many('ZREM', set_key(p, group, before), ids)
  many('ZADD', set_key(p, group, status), completed)
  uncount(p, group, ids)
  timers[#timers + 1] = now + (kept_s or RETENTION_S[status]) * 1000; timers[#timers + 1] = status .. ':' .. group
end

-- one job is over, for a reason that no consumer gave
local function close(p, group, id, before, status, reason, now)
  local timers = {}
  forget_run(p, id)
  call('HSET', job_key(p, id), 'status', status, 'completed_at', now, 'reason', reason)
  file(p, group, { id }, before, status, call('HGET', group_key(p, group), 'retention_' .. status), now, timers)
  set_timers(p, timers)
end

-- a finished job and everything of it is gone, but for its log, which a broker deletes
local function discard(p, group, id, status, log_bytes, now)
  call('ZREM', set_key(p, group, status), id)
  call('ZREM', set_key(p, group, 'jobs'), id)
  call('DEL', job_key(p, id))
  if log_bytes then call('ZADD', p .. ':discarded', now, id) end
end
