-- settle: carry out what the ends of jobs mean for the jobs that wait for them, for their keys, batches and schedules.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] limit      jobs, dependants and members to handle at most
--
-- moves   delayed -> queued, delayed -> delayed, delayed -> cancelled, queued -> cancelled, running -> cancelled, - -> delayed,
--           - -> queued
-- reply   how many jobs still wait to be settled; for how long the first of them does, ms; how many batches ended; then for each
--           group with jobs that were cancelled, or with new callbacks: group, how many cancelled, how many callbacks
-- refuses -
-- flags   allow-oom
-- with    record job hooks settling completion dependencies inputs undone fair_keys settlement ends dependants
--           (deadlines requeue unique kinds creation batches notices_stream key_turns batch_ends schedules schedule_ends lanes places lane_turns late_ends)
local p, now, limit = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2])
local settle, step, late = p .. ':settle', begin_step(now, limit), nil

-- What few ends need.
local function seldom() late = late or load_late_ends() return late end

-- After the end of a job its follower holds its key, or the key is free when it has no window.
local function settle_key(ended)
  local stored = call('HGET', set_key(p, ended.group, 'unique'), ended.key)
  if not stored then return end
  if stored == ended.id .. ' - 0' then return gather(step.freed, ended.group, ended.key) end
  write_step(p, step)
  seldom().refresh_key(p, ended.group, ended.key, now)
end

-- Settles an end; whether that is done. Then the job has no `hooks` any more.
local function settle_job(ended)
  local record, members = ended.record, call('ZRANGE', after_key(p, ended.id), 0, step.left - 1, 'WITHSCORES')
  if record and ended.is_stored then read_end(p, ended, members[1]) end
  if ended.key then settle_key(ended) end
  if ended.lane then append(step.left_lanes, ended.group, ended.id, ended.lane) end
  if members[1] and not settle_dependants(p, ended, members, step) then return false end
  if record and needs_settling(record) then
    step.records[#step.records + 1] = ended.id; step.records[#step.records + 1] = without_hooks(record)
  end
  local batch = record and string.find(record, '"batch"', 1, true) and string.match(settings_json(record), '"batch":"(%w+)"')
  if batch then seldom().batches.count_member(p, batch, ended.id, ended.status, now) end
  if record and string.find(record, '"scheduled_for"', 1, true) then seldom().schedule_ends(p, ended.group, ended.id, record, ended.status, now) end
  if ended.is_stored then step.settled[#step.settled + 1] = ended.id end
  step.left = step.left - 1
  return true
end

-- Cancels members of a batch that was stopped. What is not handled yet stays in P:settle.
local function settle_members(id)
  write_step(p, step)
  local looked, n, group = seldom().batches.settle_batch(p, id, step.left, now)
  if n > 0 then step.n_cancelled[group], step.touched[group] = (step.n_cancelled[group] or 0) + n, true end
  step.left = step.left - looked
end

read_ends(p, step)
local at, rest = 1, {}
while step.left > 0 and step.ends[at] do
  local ended, is_settled = step.ends[at], true
  local what, name = string.match(ended.id, '^(%a+):(.+)$')
  if what == 'batch' then settle_members(name) elseif what then seldom().lanes.pop(p, name, step) else is_settled = settle_job(ended) end
  if is_settled then at = at + 1 end
end
write_step(p, step)
if step.left_lanes[1] or step.entering[1] or step.turning[1] or step.are_noted then seldom().lanes.settle(p, step, limit) end
for i = at, #step.ends do
  if not step.ends[i].is_stored then rest[#rest + 1] = step.ends[i].id end
end
settle_later(p, rest, now, {})
for group in pairs(step.touched) do refresh_ready(p, group) end
if call('EXISTS', settle) == 0 then call('ZREM', p .. ':due', 'settle:') end

local first = call('ZRANGE', settle, 0, 0, 'WITHSCORES')[2]
local created = late and late.batches.created or {}
local reply = { call('ZCARD', settle), first and math.max(0, now - first) or 0, late and late.batches.n_ended or 0 }
for group in pairs(created) do step.n_cancelled[group] = step.n_cancelled[group] or 0 end
for group, n in pairs(step.n_cancelled) do
  for _, word in ipairs({ group, n, created[group] or 0 }) do reply[#reply + 1] = word end
end
return reply
