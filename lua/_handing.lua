-- Put before the scripts that hand out: the writes that make jobs running, and what is told of them.

-- a reply that has this many bytes of jobs takes no more of them
local LARGEST = 8388608

-- a broker that found no jobs, and for which clients wait, looks again more often than this; till then it is told of each
-- group that comes into `ready`, or with `awaited` of each that gets a new queued job
local WAITING_MS = 5000
local function note_waiting(p, set, broker, now)
  local key = p .. ':' .. set
  call('ZREMRANGEBYSCORE', key, '-inf', now)
  call('ZADD', key, now + WAITING_MS, broker)
  call('PEXPIRE', key, WAITING_MS)
end

-- a group of this name hands out: `room` for how many jobs, env_vars and rate_limit; and of the jobs that it hands out in
-- this call, `running`, their flat scores and ids, and the first end of a lease
local function open(p, group, is_set, now)
  if is_set then group.room, group.env_vars, group.rate = room(p, group.name) end
  if group.rate then group.room = math.min(group.room, allowance(p, group.name, group.rate, now)) end
  group.running = {}
end

-- what the jobs of a call share: when, the first part of their tokens, the length of the leases in s or '', and the beginning
-- of a first run; how many bytes they have together, and their runs, flat ids and texts
local function handing_of(now, lease, lease_s)
  return { now = now, lease = lease .. '-', lease_s = lease_s, first = ' 1 ' .. whole(now), bytes = 0, runs = {} }
end

-- how often a job with this text in `runs` was handed out
local function deliveries_in(run)
  return tonumber(string.match(run, '^%d+$') or string.match(run, '^%S+ (%d+)')) or 0
end

-- hand out a job of this text, and of the run before this one or false; `told` is the part of the reply that has its group
local function hand_out(handing, group, told, id, place, text, before)
  local now, running, runs, n = handing.now, group.running, handing.runs, #told
  local length_s, deliveries, begun, rest = timeout_s(text), 1, handing.first, ''
  if handing.lease_s ~= '' then
    rest = ' ' .. handing.lease_s .. ' ' .. whole(now + length_s * 1000)
    length_s = math.min(length_s, tonumber(handing.lease_s))
  end
  if before then
    deliveries = deliveries_in(before) + 1
    begun = ' ' .. deliveries .. ' ' .. whole(now)
  end
  local ends = now + length_s * 1000
  running[#running + 1] = ends; running[#running + 1] = id
  group.first_end = math.min(group.first_end, ends)
  runs[#runs + 1] = id; runs[#runs + 1] = handing.lease .. place .. begun .. rest
  handing.bytes = handing.bytes + #text
  told[n + 1], told[n + 2], told[n + 3], told[n + 4] = id, place, text, deliveries
end

-- what groups handed out: into `runs`, once more what a round before this one wrote there, and into `running`, with its
-- timers
local function file_running(p, handing, groups)
  local timers = {}
  many('HSET', runs_key(p), handing.runs)
  for i = 1, #groups do
    local name, running, rate = groups[i].name, groups[i].running, groups[i].rate
    if #running > 0 then
      many('ZADD', set_key(p, name, 'running'), running)
      timers[#timers + 1] = groups[i].first_end; timers[#timers + 1] = 'running:' .. name
    end
    if rate then spend(p, name, rate, #running / 2, handing.now) end
  end
  set_timers(p, timers)
end
