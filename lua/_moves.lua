-- Put before the scripts that end or give back runs: the moves that more than one verb makes. Nothing here refuses.

-- a place at the end of a priority
local function new_place(p, priority)
  return (2 - (priority or 0)) * STEP + call('INCR', p .. ':sequence')
end

-- who waits for images is not told by `ready`, where the group may have been before
local function tell_awaiting(p, group)
  if call('EXISTS', p .. ':awaited') == 1 then call('PUBLISH', p .. ':wake', group) end
end

-- where in `queued` a job that is held goes back to: the tail of its token
local function place_of(lease) return string.match(lease or '', '-(%d+)$') end

-- running -> queued at the old place, or -> delayed, from where it goes there; so many deliveries count
local function give_back(p, group, id, place, deliveries, delay_ms, now)
  call('ZREM', set_key(p, group, 'running'), id)
  if deliveries > 0 then call('HSET', runs_key(p), id, deliveries) else call('HDEL', runs_key(p), id) end
  if delay_ms > 0 then
    call('ZADD', set_key(p, group, 'delayed'), now + delay_ms, id)
    call('HSET', job_key(p, id), 'place', place)
    set_timer(p, 'delayed', group, now + delay_ms)
  else
    call('ZADD', set_key(p, group, 'queued'), place, id)
    tell_awaiting(p, group)
  end
end

-- a new job that does the work of an old one again; it counts if that did, or with `counts`
local function again(p, group, id, new_id, delay_s, max_retries, now, counts)
  local status = delay_s > 0 and 'delayed' or 'queued'
  local values = { 'group_name', group, 'created_at', now, 'retry_of', id }
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
