-- Put before the scripts that end or give back runs: the moves that more than one verb makes. Nothing here refuses.

-- a place at the end of a priority
local function new_place(p, priority)
  return (2 - (priority or 0)) * STEP + call('INCR', p .. ':sequence')
end

-- who waits for images is not told by `ready`, where the group may have been before
local function notify_image_pollers(p, group)
  if call('EXISTS', p .. ':image_pollers') == 1 then call('PUBLISH', p .. ':notify', group) end
end

-- where in `queued` a job that is held goes back to: the tail of its token
local function rank_in_token(lease) return string.match(lease or '', '-(%d+)$') end

-- running -> queued at the old place, or -> delayed, from where it goes there; so many deliveries count
local function requeue(p, group, id, place, deliveries, delay_ms, now)
  call('ZREM', set_key(p, group, 'running'), id)
  if deliveries > 0 then call('HSET', executions_key(p), id, deliveries) else call('HDEL', executions_key(p), id) end
  if delay_ms > 0 then
    call('ZADD', set_key(p, group, 'delayed'), now + delay_ms, id)
    call('HSET', job_key(p, id), 'place', place)
    set_timer(p, 'delayed', group, now + delay_ms)
  else
    call('ZADD', set_key(p, group, 'queued'), place, id)
    notify_image_pollers(p, group)
  end
end

-- settings as the text of a job has them, with the job that it retries
local function settings_text(settings, retry_of)
  local words = {}
  for _, name in ipairs({ 'delay', 'timeout', 'priority', 'max_retries', 'retries_delay', 'bytes' }) do
    if settings[name] then words[#words + 1] = '"' .. name .. '":' .. whole(settings[name]) end
  end
  words[#words + 1] = '"retry_of":"' .. retry_of .. '"'
  return '{' .. table.concat(words, ',') .. '}'
end

-- a new job that does the work of an old one again; it counts if that did, or with `counts`
local function create_retry(p, group, id, new_id, delay_s, max_retries, now, counts)
  local text = with_spec(p, id, call('HGET', jobs_key(p), id))
  local settings, _, _, spec = settings_of(text), parts_of(text)
  local status = delay_s > 0 and 'delayed' or 'queued'
  settings.delay, settings.max_retries = delay_s > 0 and delay_s, max_retries > 0 and max_retries
  settings.bytes = (settings.bytes or counts) and #spec
  text = text_of(settings_text(settings, id), group, whole(now), put_away(p, new_id, spec))
  call('HSET', jobs_key(p), new_id, text)
  local score = delay_s > 0 and now + delay_s * 1000 or new_place(p, settings.priority)
  call('ZADD', set_key(p, group, 'jobs'), now, new_id)
  call('ZADD', set_key(p, group, status), score, new_id)
  if settings.bytes then call('ZINCRBY', p .. ':bytes', settings.bytes, group) end
  if delay_s > 0 then set_timer(p, 'delayed', group, score) else notify_image_pollers(p, group) end
  call('HSET', job_key(p, id), 'retry_at', new_id)
end

-- the automatic retry of a job with these settings that has just failed
local function retry_failed(p, group, id, settings, new_id, now)
  create_retry(p, group, id, new_id, settings.retries_delay or RETRIES_DELAY_S, settings.max_retries - 1, now)
end
