-- settle: carry out what the ends of jobs mean for the jobs that wait for them, and for their unique keys.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] limit      jobs and dependants to handle at most
--
-- moves   delayed -> queued, delayed -> delayed, delayed -> cancelled
-- reply   how many jobs still wait to be settled; then for each group with jobs that were cancelled: group, how many
-- refuses -
-- flags   allow-oom
-- with    record deadlines job requeue hooks settling completion dependencies unique (schedules schedule_ends)
local p, now, limit = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2])
local settle, left, touched, cancelled = p .. ':settle', limit, {}, {}

local function cancel(group, id, dependant, parent_id, status)
  finish_without_report(p, group, id, dependant, 'cancelled', 'dependency', now)
  call('HSET', job_key(p, id), 'error', 'It waited for the job ' .. parent_id .. ', which ' .. status .. '.')
  cancelled[group] = (cancelled[group] or 0) + 1
end

-- A dependant that was cancelled or deleted meanwhile waits no more.
local function settle_dependant(group, id, parent_id, status, is_any_end)
  local dependant = find_job(p, group, id, 'needs')
  if not dependant or dependant.status ~= 'delayed' or not dependant.needs then return end
  if status ~= 'succeeded' and not is_any_end then
    return cancel(group, id, dependant, parent_id, status == 'failed' and 'failed' or status == 'cancelled' and 'was cancelled' or 'is gone')
  end
  if call('HINCRBY', job_key(p, id), 'needs', -1) > 0 then return end
  enter(p, group, id, dependant, now)
  touched[group] = true
end

-- Settles dependants of a job that has ended; whether all of them are settled.
local function settle_dependants(id, status)
  local key = after_key(p, id)
  local members = call('ZRANGE', key, 0, left - 1, 'WITHSCORES')
  for i = 1, #members, 2 do
    local group, dependant_id = string.match(members[i], '^(%S+) (%S+)$')
    settle_dependant(group, dependant_id, id, status, members[i + 1] == '1')
    call('ZREM', key, members[i])
    left = left - 1
  end
  return call('EXISTS', key) == 0
end

-- Once its end is settled, a job has no `hooks`.
local function settle_job(id)
  local record = call('HGET', jobs_key(p), id) or nil
  local group = record and parse_record(record)
  local status = group and status_of(p, group, id, call('HGET', executions_key(p), id)) or 'gone'
  if group then settle_key(p, group, id, now) end
  if group and setting_in(record, 'scheduled_for') then load_schedule_ends()(p, group, id, record, status, now) end
  if not settle_dependants(id, status) then return end
  if record and needs_settling(record) then
    local plain = string.gsub(string.gsub(record, '^{"hooks":%d+,?', '{'), '^{} ', '')
    call('HSET', jobs_key(p), id, plain)
  end
  call('ZREM', settle, id)
  left = left - 1
end

while left > 0 do
  local id = call('ZRANGE', settle, 0, 0)[1]
  if not id then break end
  settle_job(id)
end
for group in pairs(touched) do refresh_ready(p, group) end
if call('EXISTS', settle) == 0 then call('ZREM', p .. ':due', 'settle:') end

local reply = { call('ZCARD', settle) }
for group, n in pairs(cancelled) do reply[#reply + 1] = group; reply[#reply + 1] = n end
return reply
