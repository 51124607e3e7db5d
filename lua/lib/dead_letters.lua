-- For finish and reap: dead letters. A job that failed and is not retried is copied into the group that its own group names in
-- dead_letter_to, in the script that ends it. The copy has `retry_of` and `dead_letter_of`, the group of the job that failed, in its
-- settings. P:dead_letters counts the copies by the group that they come from.
local copied = {} -- by group, how many copies came into it in this call

-- The settings of the copy. `before`: those of the job, of which retries, deadlines, unique key and batch stay behind.
local function settings_of_copy(settings, id, group, before)
  local words = {}
  for _, name in ipairs({ 'timeout', 'priority', 'bytes', 'inputs' }) do
    if settings[name] then words[#words + 1] = '"' .. name .. '":' .. digits(settings[name]) end
  end
  words[#words + 1] = '"retry_of":"' .. id .. '","dead_letter_of":"' .. group .. '"'
  for text in string.gmatch(before, '"trace[a-z]+":"[^"]+"') do words[#words + 1] = text end
  return '{' .. table.concat(words, ',') .. '}'
end

-- Copies a job, which is whole, into the group `to`, which need not exist; max_group_jobs and max_group_bytes do not block the copy. Returns `to`.
local function copy_dead_letter(p, group, id, to, new_id, now)
  local record = with_spec(p, id, call('HGET', jobs_key(p), id))
  local settings, spec, at = settings_of(record), select(3, parse_record(record)), digits(now)
  local head = build_record(settings_of_copy(settings, id, group, settings_json(record)), to, at, '')
  call('HSET', jobs_key(p), new_id, head .. store_large_spec(p, new_id, spec))
  call('ZADD', set_key(p, to, 'jobs'), at, new_id)
  call('ZADD', set_key(p, to, 'queued'), new_rank(p, to, settings.priority), new_id)
  enter_turn(p, to, new_id)
  call('ZADD', p .. ':groups', 'NX', at, to)
  if settings.bytes then call('ZINCRBY', p .. ':bytes', #spec, to) end
  if settings.inputs then pass_inputs_on(p, id, new_id) end
  call('HSET', job_key(p, id), 'dead_letter', to .. ' ' .. new_id)
  call('HINCRBY', p .. ':dead_letters', group, 1)
  notify_image_pollers(p, to)
  refresh_ready(p, to)
  copied[to] = (copied[to] or 0) + 1
  return to
end
