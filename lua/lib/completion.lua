-- Put before the scripts that end jobs, or forget those that are over.

-- jobs that are over no longer count for the bytes of their group (see group_limits.lua)
local is_counting -- 1 while any group has such a sum; asked once
local function subtract_bytes(p, group, ids)
  is_counting = is_counting or call('EXISTS', p .. ':bytes')
  if is_counting == 0 or not call('ZSCORE', p .. ':bytes', group) then return end
  local sum = 0
  local texts = call('HMGET', jobs_key(p), unpack(ids))
  for i = 1, #ids do sum = sum + (texts[i] and setting_in(texts[i], 'bytes') or 0) end
  if tonumber(call('ZINCRBY', p .. ':bytes', -sum, group)) <= 0 then call('ZREM', p .. ':bytes', group) end
end

-- jobs that are over: into the set of their status, for kept_s or the default; their timer goes to `timers`
local function move_to_finished(p, group, ids, status, kept_s, now, timers)
  local completed, at = {}, whole(now)
  for i = 1, #ids do completed[2 * i - 1] = at; completed[2 * i] = ids[i] end
  many('ZADD', set_key(p, group, status), completed)
  subtract_bytes(p, group, ids)
  timers[#timers + 1] = now + (kept_s or RETENTION_S[status]) * 1000; timers[#timers + 1] = status .. ':' .. group
end

-- one job is over, for a reason that no consumer gave
local function finish_without_report(p, group, id, before, status, reason, now)
  local timers, job = {}, {}
  read_run(job, call('HGET', executions_key(p), id))
  local started_at = job.started_at and whole(job.started_at) or '-'
  call('HSET', executions_key(p), id, table.concat({ '*', job.deliveries, started_at, status, whole(now) }, ' '))
  call('HSET', job_key(p, id), 'reason', reason)
  call('ZREM', set_key(p, group, before), id)
  move_to_finished(p, group, { id }, status, call('HGET', group_key(p, group), 'retention_' .. status), now, timers)
  set_timers(p, timers)
end

-- finished jobs and everything of them are gone, but for their logs, which a broker deletes; how many these are
local function delete_jobs(p, group, ids, status, now)
  local logs = {}
  for first = 1, #ids, 1000 do
    local keys = {}
    for i = first, math.min(first + 999, #ids) do keys[#keys + 1] = job_key(p, ids[i]) end
    if call('EXISTS', unpack(keys)) > 0 then
      for i = 1, #keys do
        if call('HEXISTS', keys[i], 'log_bytes') == 1 then
          logs[#logs + 1] = whole(now); logs[#logs + 1] = ids[first + i - 1]
        end
      end
      call('DEL', unpack(keys))
    end
  end
  many('ZREM', set_key(p, group, status), ids)
  many('ZREM', set_key(p, group, 'jobs'), ids)
  many('HDEL', executions_key(p), ids)
  many('HDEL', jobs_key(p), ids)
  many('ZADD', p .. ':discarded', logs)
  return #logs / 2
end
