-- Put before the scripts that end or give back runs: the moves that more than one verb makes. Nothing here refuses.

-- a place at the end of a priority
local function new_place(p, priority)
  return (2 - (priority or 0)) * STEP + call('INCR', p .. ':sequence')
end

-- who waits for images is not told by `ready`, where the group may have been before
local function tell_awaiting(p, group)
  if call('EXISTS', p .. ':awaited') == 1 then call('PUBLISH', p .. ':wake', group) end
end

local function forget_run(p, id)
  call('HDEL', job_key(p, id), 'lease', 'lease_s', 'deadline', 'handed_out_by')
end

-- where in `queued` a job that is held goes back to: the tail of its token
local function place_of(lease) return string.match(lease or '', '-(%d+)$') end

-- running -> queued at the old place, or -> delayed, from where it goes there
local function give_back(p, group, id, place, delay_ms, now)
  call('ZREM', set_key(p, group, 'running'), id)
  forget_run(p, id)
  call('HDEL', job_key(p, id), 'started_at')
  if delay_ms > 0 then
    call('ZADD', set_key(p, group, 'delayed'), now + delay_ms, id)
    call('HSET', job_key(p, id), 'status', 'delayed', 'place', place)
    set_timer(p, 'delayed', group, now + delay_ms)
  else
    call('ZADD', set_key(p, group, 'queued'), place, id)
    call('HSET', job_key(p, id), 'status', 'queued')
    tell_awaiting(p, group)
  end
end

-- the hash of a job that is finished now; its sets are for `file`. More fields may follow
local function close(p, id, status, completed_at, ...)
  forget_run(p, id)
  call('HSET', job_key(p, id), 'status', status, 'completed_at', completed_at, ...)
end

local function retention(p, group, status) return call('HGET', group_key(p, group), 'retention_' .. status) end

-- jobs that are over no longer count for the bytes of their group (see _limits.lua)
local function uncount(p, group, ids)
  if not call('ZSCORE', p .. ':bytes', group) then return end
  local sum = 0
  for i = 1, #ids do sum = sum + (call('HGET', job_key(p, ids[i]), 'bytes') or 0) end
  if tonumber(call('ZINCRBY', p .. ':bytes', -sum, group)) <= 0 then call('ZREM', p .. ':bytes', group) end
end

-- jobs that are closed: out of one set, into that of their status, for the group's retention in s, or nil
local function file(p, group, ids, before, status, kept_s, now)
  local completed = {}
  for i = 1, #ids do completed[2 * i - 1] = now; completed[2 * i] = ids[i] end
  many('ZREM', set_key(p, group, before), ids)
  many('ZADD', set_key(p, group, status), completed)
  uncount(p, group, ids)
  set_timer(p, status, group, now + (kept_s or RETENTION_S[status]) * 1000)
end

-- a new job that does the work of an old one again; it counts if that did, or with `counts`
local function again(p, group, id, new_id, delay_s, max_retries, now, counts)
  local status = delay_s > 0 and 'delayed' or 'queued'
  local values = { 'group_name', group, 'status', status, 'created_at', now, 'retry_of', id }
  local function keep(field, value)
    if value then values[#values + 1] = field; values[#values + 1] = value end
  end
  local old = call('HMGET', job_key(p, id), 'spec', 'priority', 'timeout', 'retries_delay', 'bytes')
  local bytes = old[1] and (old[5] or counts) and #old[1]
  keep('spec', old[1])
  keep('priority', old[2])
  keep('timeout', old[3])
  keep('retries_delay', old[4])
  keep('max_retries', max_retries > 0 and max_retries)
  keep('delay', delay_s > 0 and delay_s)
  keep('bytes', bytes)
  local score = delay_s > 0 and now + delay_s * 1000 or new_place(p, old[2])
  call('HSET', job_key(p, new_id), unpack(values))
  call('ZADD', set_key(p, group, 'jobs'), now, new_id)
  call('ZADD', set_key(p, group, status), score, new_id)
  if bytes then call('ZINCRBY', p .. ':bytes', bytes, group) end
  if delay_s > 0 then set_timer(p, 'delayed', group, score) else tell_awaiting(p, group) end
  call('HSET', job_key(p, id), 'retry_at', new_id)
end

-- the automatic retry of a job that has just failed
local function retry_failed(p, group, id, max_retries, new_id, now)
  local delay_s = call('HGET', job_key(p, id), 'retries_delay') or RETRIES_DELAY_S
  again(p, group, id, new_id, tonumber(delay_s), max_retries - 1, now)
end

-- a finished job and everything of it is gone, but for its log, which a broker deletes
local function discard(p, group, id, status, log_bytes, now)
  call('ZREM', set_key(p, group, status), id)
  call('ZREM', set_key(p, group, 'jobs'), id)
  call('DEL', job_key(p, id))
  if log_bytes then call('ZADD', p .. ':discarded', now, id) end
end
