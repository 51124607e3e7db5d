-- For finish and reap.

-- The automatic retry of a job whose end must be settled takes the jobs that wait for it, its seat in a batch, its `key`, and its
-- unique key with its follower; but not one that it held until its delivery. It has the functions of unique.lua and batches.lua in one, since
-- finish has no functions to spare.
local function take_ties(p, group, id, new_id, batch)
  local dependants, keys, names = p .. ':after:' .. id, set_key(p, group, 'unique'), { 'unique', 'unique_key', 'unique_until' }
  move_place(p, group, id, new_id)
  if call('EXISTS', dependants) == 1 then call('RENAME', dependants, p .. ':after:' .. new_id) end
  for _, set in ipairs(batch and { ':jobs', ':unfinished' } or {}) do
    local key = p .. ':batch:' .. batch .. set
    local score = call('ZSCORE', key, id)
    if score then call('ZADD', key, score, new_id) end
    call('ZREM', key, id)
  end
  local fields = call('HMGET', job_key(p, id), unpack(names))
  local held = fields[2] and call('HGET', keys, fields[2]) or ''
  if string.match(held, '^%S+') ~= id or fields[3] == 'started' then return end
  for i = 1, #names do call('HSET', job_key(p, new_id), names[i], fields[i]) end
  call('HSET', keys, fields[2], new_id .. string.sub(held, #id + 1))
end

-- Creates the automatic retry of a job with these settings that has just failed. Returns whether there is one: a job without
-- retries has none, nor one that would begin after end_before.
local function retry_failed(p, group, id, settings, new_id, now)
  local delay_s, end_before = settings.retries_delay or RETRIES_DELAY_S, settings.end_before
  if not settings.max_retries or end_before and now + delay_s * 1000 >= end_before then return false end
  local is_hooked = (settings.hooks or 0) >= 2
  local batch = is_hooked and string.match(call('HGET', jobs_key(p), id), '^%S*"batch":"(%w+)"') or nil
  local how = { end_before = end_before, hooks = is_hooked and settings.hooks or nil, batch = batch }
  create_retry(p, group, id, new_id, delay_s, settings.max_retries - 1, now, how)
  if is_hooked then take_ties(p, group, id, new_id, batch) end
  if delay_s == 0 then enter_turn(p, group, new_id, is_hooked and call('HGET', job_key(p, new_id), 'key')) end
  return true
end
