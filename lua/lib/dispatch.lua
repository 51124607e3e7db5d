-- For next and next_image: makes queued jobs running, and builds the reply.

-- Reads what limits a group: `room` is how many jobs it may dispatch now, `bucket` its token bucket; its env_vars; with is_fair its weight.
local function read_settings(p, group, now, is_fair)
  local settings = is_fair and call('HMGET', group_key(p, group.name), 'paused', 'max_concurrency', 'rate_limit', 'env_vars', 'weight')
  group.room, group.rate, group.env_vars = room(p, group.name, true, settings)
  if settings then group.weight = tonumber(settings[5] or 1) end
  if group.rate then group.bucket = { allowance(p, group.name, group.rate, now) } end
  if group.rate then group.room = math.min(group.room, group.bucket[1]) end
end

-- What all jobs share that one call dispatches: time, first part of their tokens, length of short leases (s, or ''), how much
-- longer than the job's timeout these may last (ms), text of a first start. It also collects what write_running writes.
local function new_batch(p, now, lease, lease_s, grace_ms)
  local batch = { p = p, now = now, lease = lease .. '-', lease_s = lease_s, grace_ms = grace_ms, first_start = ' 1 ' .. digits(now) }
  batch.bytes, batch.executions = 0, {}; return batch
end

-- The number of deliveries in an execution.
local function deliveries_in(execution)
  return tonumber(string.match(execution, '^%d+$') or string.match(execution, '^%S+ (%d+)')) or 0
end

-- Appends a job to the reply: to the last entry if that is of the same group, else as a new entry that begins with the group.
local function append_to_reply(reply, group, id, rank, record, deliveries)
  local k = #reply
  local last = reply[k]
  if k > 1 and last[1] == group.name then
    local n = #last
    last[n + 1], last[n + 2], last[n + 3], last[n + 4] = id, rank, record, deliveries
  else
    reply[k + 1] = { group.name, group.env_vars or false, id, rank, record, deliveries }
  end
end

-- Dispatches one job. `before` is the execution of its last delivery, or false. write_running stores it.
local function dispatch(batch, reply, group, id, rank, record, before)
  local now, running, executions = batch.now, group.running or {}, batch.executions
  local lease_end, deliveries, started, how = now + timeout_s(record) * 1000, 1, batch.first_start, ''
  if batch.lease_s ~= '' then
    how = ' ' .. batch.lease_s .. ' ' .. digits(lease_end)
    lease_end = math.min(lease_end + batch.grace_ms, now + batch.lease_s * 1000)
  end
  if before then
    deliveries = deliveries_in(before) + 1
    started = ' ' .. deliveries .. ' ' .. digits(now)
  end
  if byte(record, 3) == H and byte(record) == BRACE then
    lease_end, how = limit_lease(batch.p, group.name, id, record, lease_end, how)
  end
  local n, k = #executions, #running
  running[k + 1], running[k + 2], group.running = lease_end, id, running
  executions[n + 1], executions[n + 2] = id, batch.lease .. rank .. started .. how
  batch.bytes = batch.bytes + #record
  append_to_reply(reply, group, id, rank, record, deliveries)
end

-- Writes executions, running sets and timers; a second round writes those of the first one again. `running`: lease end, id…
local function write_running(p, batch, groups)
  local timers, n = {}, 0
  call_many('HSET', executions_key(p), batch.executions)
  for i = 1, #groups do
    local name, running, bucket = groups[i].name, groups[i].running, groups[i].bucket
    if running then
      local first_end = running[1]
      for at = 3, #running, 2 do
        if running[at] < first_end then first_end = running[at] end
      end
      call_many('ZADD', set_key(p, name, 'running'), running)
      timers[n + 1], timers[n + 2], n = first_end, 'running:' .. name, n + 2
    end
    if bucket then groups[i].is_held = spend(p, name, running and #running / 2 or 0, batch.now, unpack(bucket)) end
  end
  set_timers(p, timers)
end
