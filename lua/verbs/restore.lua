-- restore: bring in groups, batches and jobs that were exported, as they were; all of them or none. Those that exist already stay.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] n_groups   how many groups
-- ARGV[3] n_batches  how many batches
-- ARGV[4] items      for each group: name created_at words, then as many words: field value… of its settings; then for each
--                      batch: id group due words, then as many: field value…; due: when reap must look at it, ms, or 0; then
--                      for each job: id group status score head spec execution words, then as many: field value…; head: its
--                      record before the spec
--
-- moves   - -> delayed, - -> queued, - -> succeeded, - -> failed, - -> cancelled
-- reply   how many groups were made, how many exist with other settings, how many jobs were made
-- refuses INVALID
-- with    record deadlines job requeue hooks settling dependencies inputs awaiting undone unique lanes key_places ties rejoining batches
--           batch_transfer settings_check
local p, now, n_groups, n_batches, first = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), 4
local MOST_BOOST = 1000000 -- a rank with a lead is of a later job than it looks, by so much for each priority at most
local groups, jobs, ids, at, batches = {}, {}, {}, first, nil
for i = 1, n_groups do
  local name, created_at, words = unpack(ARGV, at, at + 2)
  groups[i] = { name = name, created_at = created_at, settings = { unpack(ARGV, at + 3, at + 2 + words) } }
  at = at + 3 + words
end
batches, at = batches_in(ARGV, at, n_batches)
while at < #ARGV do
  local id, group, status, score, head, spec, execution, words = unpack(ARGV, at, at + 7)
  ids[#ids + 1] = id
  jobs[#jobs + 1] = { group = group, status = status, score = score, head = head, spec = spec, execution = execution, from = at + 8 }
  jobs[#jobs].to, at = at + 7 + words, at + 8 + words
end
local before, is_known = #ids > 0 and call('HMGET', jobs_key(p), unpack(ids)), {}
for i = 1, #ids do
  local whole_text = jobs[i].head .. jobs[i].spec
  local there = is_known[ids[i]] or with_spec(p, ids[i], before[i])
  if there and there ~= whole_text then return refuse('INVALID', ids[i] .. ' Another job of the store has this id.') end
  jobs[i].is_new, is_known[ids[i]] = not there, whole_text
end

local made, others, new, sequence, timers, touched = 0, 0, 0, 0, {}, {}

local function restore_group(group)
  local key = group_key(p, group.name)
  if call('ZADD', p .. ':groups', 'NX', group.created_at, group.name) == 1 then
    made = made + 1
    if #group.settings > 0 then call('HSET', key, unpack(group.settings)) end
    if refused_dead_letters(p, group.name, call('HGET', key, 'dead_letter_to')) then call('HDEL', key, 'dead_letter_to') end
    note_mode(p, group.name)
    touched[group.name] = true
    return
  end
  if not has_settings(p, group.name, group.settings) then others = others + 1 end
end
local function note_rank(rank, lead) sequence = math.max(sequence, math.fmod(rank + (rank < 2 * STEP - lead and 0 or lead), STEP)) end

-- when the reaper must look at a job in its set; nil for a queued one
local function due_of(item)
  local kept_s = RETENTION_S[item.status]
  if kept_s then kept_s = call('HGET', group_key(p, item.group), 'retention_' .. item.status) or kept_s end
  return item.status ~= 'queued' and tonumber(item.score) + (kept_s or 0) * 1000 or nil
end

local function restore_job(id, item)
  local key, text = job_key(p, id), item.head .. store_large_spec(p, id, item.spec)
  local _, created_at = parse_record(text)
  call('HSET', jobs_key(p), id, text)
  if item.execution ~= '' then call('HSET', executions_key(p), id, item.execution) end
  if item.to > item.from then call('HSET', key, unpack(ARGV, item.from, item.to)) end
  call('ZADD', set_key(p, item.group, 'jobs'), created_at, id)
  call('ZADD', set_key(p, item.group, item.status), item.score, id)
  call('ZADD', p .. ':groups', 'NX', created_at, item.group)
  local size = not RETENTION_S[item.status] and setting_in(text, 'bytes')
  if size then call('ZINCRBY', p .. ':bytes', size, item.group) end
  local settings = settings_of(text)
  if settings.hooks and not RETENTION_S[item.status] then set_deadline(p, item.group, id, settings, tonumber(item.execution) or 0) end
  if needs_settling(text) or item.to > item.from then restore_ties(p, item.group, id, text, item.status, now) end
  if settings.inputs then restore_inputs(p, id) end
  restore_seat(p, id, text, now)
  if RETENTION_S[item.status] then restore_undone(p, id) end
  local lead = (settings.priority or 0) * MOST_BOOST
  if item.status == 'queued' then note_rank(tonumber(item.score), lead) note_place(p, item.group, id, item.score, settings.priority or 0) end
  if item.status == 'delayed' then note_rank(tonumber(call('HGET', key, 'rank') or 0), lead); rejoin_all(p, item.group, id, now) end
  local due = due_of(item)
  if due then timers[#timers + 1] = due; timers[#timers + 1] = item.status .. ':' .. item.group end
  touched[item.group] = true
  new = new + 1
end

for i = 1, #groups do restore_group(groups[i]) end
for i = 1, n_batches do restore_batch(p, batches[i], now) end
for i = 1, #ids do
  if jobs[i].is_new then restore_job(ids[i], jobs[i]) end
end
if sequence > tonumber(call('GET', p .. ':sequence') or 0) then call('SET', p .. ':sequence', digits(sequence)) end
set_timers(p, timers)
for group in pairs(touched) do
  refresh_ready(p, group)
  notify_image_pollers(p, group)
end
return { made, others, new }
