-- Put before the scripts that hand out: what they read of a job, and the writes that make it running.
local READ = { 'spec', 'created_at', 'timeout', 'deliveries', 'priority', 'delay', 'max_retries', 'retries_delay', 'retry_of' }
local SPEC, CREATED_AT, TIMEOUT, DELIVERIES = 1, 2, 3, 4
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

-- a group of this name hands out: `room` for how many jobs, env_vars and rate_limit; and of the jobs that it hands out in
-- this call, `running`, their flat scores and ids, and the first end of a lease
local function open(p, group, is_set, now)
  group.room = math.huge
  if is_set then group.room, group.env_vars, group.rate = room(p, group.name) end
  if group.rate then group.room = math.min(group.room, allowance(p, group.name, group.rate, now)) end
  group.running, group.first_end = {}, math.huge
end

-- make a job that was read running
local function hand_out(group, key, id, job, place, now, started_at, lease, lease_s)
  local token, deliveries = lease .. '-' .. place, (job[DELIVERIES] or 0) + 1
  local ends = now + (job[TIMEOUT] or TIMEOUT_S) * 1000
  if lease_s == '' then
    call('HSET', key, 'status', 'running', 'deliveries', deliveries, 'started_at', started_at, 'lease', token)
  else
    call('HSET', key, 'status', 'running', 'deliveries', deliveries, 'started_at', started_at, 'lease', token,
      'lease_s', lease_s, 'deadline', ends)
    ends = math.min(ends, now + lease_s * 1000)
  end
  local running = group.running
  running[#running + 1] = ends; running[#running + 1] = id
  group.first_end, group.room = math.min(group.first_end, ends), group.room - 1
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
