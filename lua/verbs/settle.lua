-- settle: carry out what the ends of jobs mean for the jobs that wait for them, for their unique keys and their batches.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] limit      jobs, dependants and members to handle at most
--
-- moves   delayed -> queued, delayed -> delayed, delayed -> cancelled, queued -> cancelled, running -> cancelled, - -> delayed,
--           - -> queued
-- reply   how many jobs still wait to be settled; for how long the first of them does, ms; how many batches ended, and how many
--           callbacks were created; then for each group with jobs that were cancelled: group, how many
-- refuses -
-- flags   allow-oom
-- with    record deadlines job requeue hooks settling completion dependencies inputs awaiting undone dependants unique
--           creation batches notices_stream batch_ends
local p, now, limit = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2])
local settle, step = p .. ':settle', { now = now, left = limit, touched = {}, cancelled = {} }

-- Once its end is settled, a job has no `hooks`.
local function settle_job(id)
  local record = call('HGET', jobs_key(p), id) or nil
  local group = record and parse_record(record)
  if group then settle_key(p, group, id, now) end
  local status = group and status_of(p, group, id, call('HGET', executions_key(p), id)) or 'gone'
  if not settle_dependants(p, id, status, step) then return end
  if record and needs_settling(record) then
    local plain = string.gsub(string.gsub(record, '^{"hooks":%d+,?', '{'), '^{} ', '')
    call('HSET', jobs_key(p), id, plain)
  end
  local batch = record and batch_of(record)
  if batch then count_member(p, batch, id, status, now) end
  call('ZREM', settle, id)
  step.left = step.left - 1
end

while step.left > 0 do
  local id = call('ZRANGE', settle, 0, 0)[1]
  if not id then break end
  local batch = string.match(id, '^batch:(%w+)$')
  if not batch then
    settle_job(id)
  else
    local looked, n, group = settle_batch(p, batch, step.left, now)
    if n > 0 then step.cancelled[group], step.touched[group] = (step.cancelled[group] or 0) + n, true end
    step.left = step.left - looked
  end
end
for group in pairs(step.touched) do refresh_ready(p, group) end
if call('EXISTS', settle) == 0 then call('ZREM', p .. ':due', 'settle:') end

local first = call('ZRANGE', settle, 0, 0, 'WITHSCORES')[2]
local reply = { call('ZCARD', settle), first and math.max(0, now - first) or 0, n_ended, n_callbacks }
for group, n in pairs(step.cancelled) do reply[#reply + 1] = group; reply[#reply + 1] = n end
return reply
