-- Put before the scripts that hand out: what they read of a job, and the writes that make it running.
local READ = { 'spec', 'created_at', 'timeout', 'priority', 'delay', 'max_retries', 'retries_delay', 'retry_of' }
local SPEC, CREATED_AT, TIMEOUT, DELIVERIES = 1, 2, 3, #READ + 1 -- the last one is put behind what was read
-- a reply that has this many bytes of jobs takes no more of them
local LARGEST = 8388608

-- who found no jobs and waits, looks again more often than this; till then it is told of each group that comes into `ready`
local WAITING_MS = 5000
local function note_waiting(p) call('SET', p .. ':waiting', '1', 'PX', WAITING_MS) end

-- what is READ of a job; nil when the hash is gone, or what is left of it is no job
local function read(key)
  local job = call('HMGET', key, unpack(READ))
  return job[SPEC] and job[CREATED_AT] and job or nil
end

-- what this call hands out, in the same order: ids, what was read of them, places, and the ends of their texts in `runs`
local ids, jobs, places, ends_of = {}, {}, {}, {}

-- a group of this name hands out: `room` for how many jobs, env_vars and rate_limit; and of the jobs that it hands out in
-- this call, `running`, their flat scores and ids, and the first end of a lease
local function open(p, group, is_set, now)
  if is_set then group.room, group.env_vars, group.rate = room(p, group.name) end
  if group.rate then group.room = math.min(group.room, allowance(p, group.name, group.rate, now)) end
  group.running = {}
end

-- make a job that was read running
local function hand_out(group, id, job, place, now, lease_s)
  local ends, n = now + (job[TIMEOUT] or TIMEOUT_S) * 1000, #ids + 1
  ids[n], jobs[n], places[n], ends_of[n] = id, job, place, ''
  if lease_s ~= '' then
    ends_of[n] = ' ' .. lease_s .. ' ' .. whole(ends)
    ends = math.min(ends, now + lease_s * 1000)
  end
  local running = group.running
  running[#running + 1] = ends; running[#running + 1] = id
  group.first_end, group.room = math.min(group.first_end, ends), group.room - 1
end

-- how often a job with this text in `runs` was handed out
local function deliveries_in(run)
  return tonumber(string.match(run, '^%d+$') or string.match(run, '^%S+ (%d+)')) or 0
end

-- count the deliveries of the jobs that were handed out, and note their runs
local function note_runs(p, now, lease)
  if #ids == 0 then return end
  local before, texts, head, started_at = call('HMGET', runs_key(p), unpack(ids)), {}, lease .. '-', ' ' .. whole(now)
  local first = ' 1' .. started_at
  for i = 1, #ids do
    local deliveries = before[i] and deliveries_in(before[i]) + 1 or 1
    jobs[i][DELIVERIES] = deliveries
    local begun = deliveries == 1 and first or ' ' .. deliveries .. started_at
    texts[2 * i - 1], texts[2 * i] = ids[i], head .. places[i] .. begun .. ends_of[i]
  end
  many('HSET', runs_key(p), texts)
end

-- what groups handed out: into `running`, with its timers
local function file_running(p, groups, now)
  local timers = {}
  for i = 1, #groups do
    local name, running, rate = groups[i].name, groups[i].running, groups[i].rate
    if #running > 0 then
      many('ZADD', set_key(p, name, 'running'), running)
      timers[#timers + 1] = groups[i].first_end; timers[#timers + 1] = 'running:' .. name
    end
    if rate then spend(p, name, rate, #running / 2, now) end
  end
  set_timers(p, timers)
end
