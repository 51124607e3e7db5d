-- Put before the scripts that hand out: what they read of a job, and the writes that make it running.
local READ = { 'spec', 'created_at', 'settings', 'retry_of' }
local SPEC, CREATED_AT, SETTINGS, RETRY_OF = 1, 2, 3, 4
local TOLD = 7 -- words of a job in a reply: id, place, READ, deliveries
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
  if is_set then group.room, group.env_vars, group.rate = room(p, group.name) end
  if group.rate then group.room = math.min(group.room, allowance(p, group.name, group.rate, now)) end
  group.running = {}
end

-- hand out a job that was read; `told` is the part of the reply that has its group
local function hand_out(group, told, id, place, job, now, lease_s)
  local ends, running, n = timeout_s(job[SETTINGS]), group.running, #told
  if lease_s ~= '' then ends = math.min(ends, tonumber(lease_s)) end
  ends = now + ends * 1000
  running[#running + 1] = ends; running[#running + 1] = id
  group.first_end, group.room = math.min(group.first_end, ends), group.room - 1
  told[n + 1], told[n + 2], told[n + 3], told[n + 4] = id, place, job[SPEC], job[CREATED_AT]
  told[n + 5], told[n + 6], told[n + 7] = job[SETTINGS], job[RETRY_OF], 1
end

-- how often a job with this text in `runs` was handed out
local function deliveries_in(run)
  return tonumber(string.match(run, '^%d+$') or string.match(run, '^%S+ (%d+)')) or 0
end

-- visit(told, at) for each job in a reply
local function each_told(reply, visit)
  for i = 2, #reply do
    for at = 3, #reply[i], TOLD do visit(reply[i], at) end
  end
end

-- note the runs of the jobs in a reply, and count their deliveries
local function note_runs(p, now, lease, lease_s, reply)
  local ids, texts, first, n = {}, {}, ' 1 ' .. whole(now), 0
  each_told(reply, function(told, at) ids[#ids + 1] = told[at] end)
  local before = #ids > 0 and call('HMGET', runs_key(p), unpack(ids))
  each_told(reply, function(told, at)
    n = n + 1
    local begun, rest = first, ''
    if before[n] then
      local deliveries = deliveries_in(before[n]) + 1
      told[at + TOLD - 1], begun = deliveries, ' ' .. deliveries .. ' ' .. whole(now)
    end
    if lease_s ~= '' then rest = ' ' .. lease_s .. ' ' .. whole(now + timeout_s(told[at + 1 + SETTINGS]) * 1000) end
    texts[2 * n - 1], texts[2 * n] = ids[n], lease .. '-' .. told[at + 1] .. begun .. rest
  end)
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
