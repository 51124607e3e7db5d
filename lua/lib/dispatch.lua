-- Put before the scripts that hand out: the writes that make jobs running, and what is told of them.

-- a group hands out: `room` for how many jobs, env_vars and rate_limit
local function open(p, group, now)
  group.room, group.env_vars, group.rate = room(p, group.name)
  if group.rate then group.room = math.min(group.room, allowance(p, group.name, group.rate, now)) end
end

-- what the jobs of a call share: when, the first part of their tokens, the length of short leases in s or '', how much longer
-- than a job's timeout these may last in ms, and the beginning of a first run; how many bytes they have together, and their
-- runs, flat ids and texts
local function new_batch(now, lease, lease_s, grace_ms)
  local first = ' 1 ' .. whole(now)
  return { now = now, lease = lease .. '-', lease_s = lease_s, grace_ms = grace_ms, first = first, bytes = 0, runs = {} }
end

-- how often a job with this text in `executions` was handed out
local function deliveries_in(run)
  return tonumber(string.match(run, '^%d+$') or string.match(run, '^%S+ (%d+)')) or 0
end

-- put a job into the reply: behind those before it when they are of its group, else behind the group's name
local function append_to_reply(reply, group, id, place, text, deliveries)
  local k = #reply
  local told = reply[k]
  if k > 1 and told[1] == group.name then
    local n = #told
    told[n + 1], told[n + 2], told[n + 3], told[n + 4] = id, place, text, deliveries
  else
    reply[k + 1] = { group.name, group.env_vars or false, id, place, text, deliveries }
  end
end

-- hand out a job of this text, and of the run before this one or false
local function hand_out(handing, reply, group, id, place, text, before)
  local now, running, runs = handing.now, group.running, handing.runs
  local ends, deliveries, begun, rest = now + timeout_s(text) * 1000, 1, handing.first, ''
  if handing.lease_s ~= '' then
    rest = ' ' .. handing.lease_s .. ' ' .. whole(ends)
    ends = math.min(ends + handing.grace_ms, now + handing.lease_s * 1000)
  end
  if before then
    deliveries = deliveries_in(before) + 1
    begun = ' ' .. deliveries .. ' ' .. whole(now)
  end
  local n = #runs
  if running then
    local k = #running
    running[k + 1], running[k + 2] = ends, id
  else
    group.running = { ends, id }
  end
  runs[n + 1], runs[n + 2] = id, handing.lease .. place .. begun .. rest
  handing.bytes = handing.bytes + #text
  append_to_reply(reply, group, id, place, text, deliveries)
end

-- what groups handed out, `running` of each, flat ends of leases and ids: into `executions`, once more what a round before this one
-- wrote there, and into `running`, with its timers
local function write_running(p, handing, groups)
  local timers, n = {}, 0
  many('HSET', executions_key(p), handing.runs)
  for i = 1, #groups do
    local name, running, rate = groups[i].name, groups[i].running, groups[i].rate
    if running then
      local first_end = running[1]
      for at = 3, #running, 2 do
        if running[at] < first_end then first_end = running[at] end
      end
      many('ZADD', set_key(p, name, 'running'), running)
      timers[n + 1], timers[n + 2], n = first_end, 'running:' .. name, n + 2
    end
    if rate then spend(p, name, rate, running and #running / 2 or 0, handing.now) end
  end
  set_timers(p, timers)
end
