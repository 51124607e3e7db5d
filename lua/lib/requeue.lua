-- For scripts that requeue or retry jobs: the moves that several verbs share. Nothing here refuses.

-- The next rank at the end of a priority, or that of a sequence number; with the priority_boost n a priority is a lead of n numbers.
local function new_rank(p, group, priority, sequence)
  local boost = (priority or 0) > 0 and call('HGET', group_key(p, group), 'priority_boost')
  return (boost and 2 * STEP - priority * boost or (2 - (priority or 0)) * STEP) + (sequence or call('INCR', p .. ':sequence'))
end

-- A group that was in `ready` already is not published by refresh_ready, but its new job may be of an image that a client
-- waits for.
local function notify_image_pollers(p, group)
  if call('EXISTS', p .. ':image_pollers') == 1 then call('PUBLISH', p .. ':notify', group) end
end

-- The rank at which a running job returns to `queued`: the last part of its token.
local function rank_in_token(lease) return string.match(lease or '', '-(%d+)$') end

-- Moves a job from running to queued at its old rank, or to delayed first. `deliveries` is its new number of deliveries.
local function requeue(p, group, id, rank, deliveries, delay_ms, now)
  call('ZREM', set_key(p, group, 'running'), id)
  if deliveries > 0 then call('HSET', executions_key(p), id, deliveries) else call('HDEL', executions_key(p), id) end
  if delay_ms > 0 then
    call('ZADD', set_key(p, group, 'delayed'), now + delay_ms, id)
    call('HSET', job_key(p, id), 'rank', rank)
    set_timer(p, 'delayed', group, now + delay_ms)
  else
    call('ZADD', set_key(p, group, 'queued'), rank, id)
    notify_image_pollers(p, group)
  end
end

-- The settings of a retry, JSON. `before`: those of the job that it repeats: its schedule, its trace, and without max_retries its policy.
local function settings_text(settings, retry_of, before)
  local words, names = {}, { 'hooks', 'delay', 'timeout', 'priority', 'max_retries', 'retries_delay', 'end_before', 'scheduled_for', 'bytes', 'inputs' }
  for _, name in ipairs(names) do words[#words + 1] = settings[name] and '"' .. name .. '":' .. digits(settings[name]) or nil end
  words[#words + 1] = '"retry_of":"' .. retry_of .. '"'
  if settings.batch then words[#words + 1] = '"batch":"' .. settings.batch .. '"' end
  if settings.scheduled_for then words[#words + 1] = string.match(before, '"schedule":"[^"]+"') end
  for text in string.gmatch(before, '"trace[a-z]+":"[^"]+"') do words[#words + 1] = text end
  if settings.max_retries then return '{' .. table.concat(words, ',') .. '}' end
  for text in string.gmatch(before, '"retry_[a-z_]+":%d+') do words[#words + 1] = text end
  for text in string.gmatch(before, '"retry_[eo][xn][cl][a-z]+":"[^"]*"') do words[#words + 1] = text end
  return '{' .. table.concat(words, ',') .. '}'
end

-- The batch of a job as its settings have it: the id, or of a callback the id, its name and the counts; nil for none.
local function batch_text(record) return string.match(settings_json(record), '"batch":"([^"]*)"') end

-- Gives a new job what an old one, which it repeats, has got from the jobs that it waited for.
local function pass_inputs_on(p, id, new_id)
  local ties, kept = call('HMGET', job_key(p, id), 'after', 'after_on'), call('HGETALL', p .. ':inputs:' .. id)
  call('HSET', job_key(p, new_id), 'after', ties[1] or '', 'after_on', ties[2] or 'succeeded')
  if kept[1] then call('HSET', p .. ':inputs:' .. new_id, unpack(kept)) end
end

-- Creates a new job that repeats an old one. `how` may have: `counts`, so that its bytes count though those of the old job did not;
-- `end_before` and `hooks`, those that it keeps; `settings` and `spec` in place of those of the old job; `batch`, that of which the
-- new job is a member: else a callback keeps its counts, but no member its batch.
local function create_retry(p, group, id, new_id, delay_s, max_retries, now, how)
  local record = with_spec(p, id, call('HGET', jobs_key(p), id))
  local settings, spec = how.settings or settings_of(record), how.spec or select(3, parse_record(record))
  settings.delay, settings.max_retries = delay_s > 0 and delay_s, max_retries > 0 and max_retries
  settings.hooks, settings.end_before = how.hooks or how.end_before and 1, how.end_before
  settings.bytes = (settings.bytes or how.counts) and #spec
  settings.batch = how.batch or string.match(batch_text(record) or '', '^.*:.*$')
  record = build_record(settings_text(settings, id, settings_json(record)), group, digits(now), store_large_spec(p, new_id, spec))
  call('HSET', jobs_key(p), new_id, record)
  local score = delay_s > 0 and now + delay_s * 1000 or new_rank(p, group, settings.priority)
  call('ZADD', set_key(p, group, 'jobs'), now, new_id)
  call('ZADD', set_key(p, group, delay_s > 0 and 'delayed' or 'queued'), score, new_id)
  if settings.bytes then call('ZINCRBY', p .. ':bytes', settings.bytes, group) end
  if delay_s > 0 then set_timer(p, 'delayed', group, score) else notify_image_pollers(p, group) end
  if how.end_before then
    call('ZADD', set_key(p, group, 'expiring'), digits(how.end_before), new_id)
    set_timer(p, 'expiring', group, how.end_before)
  end
  if settings.inputs then pass_inputs_on(p, id, new_id) end
  call('HSET', job_key(p, id), 'retry_at', new_id)
end
