-- For settle: counts members that have ended, creates callback jobs, and ends batches.
local SHORTEST_KEPT_S = 3600 -- how long a batch is kept at least once it has ended
local batch_ends = { n_ended = 0, created = {} } -- batches that this call has ended; callbacks that it has created, by group

-- Creates a callback, unless it exists or the batch has none. Its words: group id priority due settings spec; '-' for nothing.
local function make_callback(p, batch, name, now)
  local words, counts = unpack(call('HMGET', batch_key(p, batch.id), name, 'counts'))
  if not words or batch['made_' .. name] then return end
  local group, id, priority, due, settings, spec = string.match(words, '^(%S+) (%S+) (%S+) (%S+) (%S+) (.*)$')
  local kind = kind_in({ priority, settings ~= '-' and settings or '', due ~= '-' and due or '' }, 1, now)
  kind.first_rank = new_rank(p, group, tonumber(priority), 0)
  local ended = table.concat({ batch.id, name, batch.total, batch.succeeded, batch.failed, batch.cancelled }, ':')
  local rank = create_jobs(p, group, { { id = id, spec = spec, after = '', key = '', kind = kind } }, now, counts or nil, ended)
  call('ZADD', p .. ':groups', 'NX', digits(now), group)
  if rank then enter_turn(p, group, id); notify_image_pollers(p, group) end
  refresh_ready(p, group)
  call('HSET', batch_key(p, batch.id), 'made_' .. name, id)
  batch['made_' .. name], batch_ends.created[group] = id, (batch_ends.created[group] or 0) + 1
end

-- How long a batch is kept that has ended: as long as the last of its members.
local function kept_s(p, batch)
  local longest = SHORTEST_KEPT_S
  for status, default in pairs(RETENTION_S) do
    local kept = call('HGET', group_key(p, batch.group), 'retention_' .. status) or default
    if batch[status] > 0 then longest = math.max(longest, tonumber(kept)) end
  end
  return longest
end

-- Creates the callback jobs that are due by now, and ends the batch when it is closed and all members have ended.
local function advance_batch(p, id, now)
  local batch = read_batch(p, id)
  if not batch or batch.ended_at then return end
  if batch.failed > 0 and batch.stopped ~= 'client_request' then make_callback(p, batch, 'on_failed', now) end
  if batch.open == '1' or batch.over < batch.total then return end
  if batch.succeeded == batch.total and batch.stopped ~= 'client_request' then make_callback(p, batch, 'on_succeeded', now) end
  make_callback(p, batch, 'on_over', now)
  call('HSET', batch_key(p, id), 'ended_at', digits(now))
  set_batch_timer(p, batch.group, id, now + kept_s(p, batch) * 1000)
  batch_ends.n_ended = batch_ends.n_ended + 1
end

-- Counts a member that has ended, once. One that is gone counts as cancelled.
local function count_member(p, id, job_id, status, now)
  if call('ZREM', unfinished_key(p, id), job_id) == 0 or call('EXISTS', batch_key(p, id)) == 0 then return end
  call('HINCRBY', batch_key(p, id), RETENTION_S[status] and status or 'cancelled', 1)
  advance_batch(p, id, now)
end

-- Cancels members of a stopped batch, n at most. Returns how many it looked at, and how many it cancelled.
local function cancel_members(p, batch, n, now)
  local ids, cancelled = call('ZRANGE', unfinished_key(p, batch.id), 0, n - 1), 0
  local why = batch.stopped == 'end_within' and ', which was not over in time.' or ', which was cancelled.'
  for i = 1, #ids do
    local job = find_job(p, batch.group, ids[i])
    local status = job and job.status
    if job and not RETENTION_S[status] then
      finish_without_report(p, batch.group, ids[i], job, 'cancelled', 'client_request', now)
      call('HSET', job_key(p, ids[i]), 'error', 'It was a member of the batch ' .. batch.id .. why)
      if status == 'running' then add_notice(p, 'cancelled ' .. batch.group .. ' ' .. ids[i]) end
      status, cancelled = 'cancelled', cancelled + 1
    end
    count_member(p, batch.id, ids[i], status, now)
  end
  return #ids, cancelled
end

-- Cancels members of a batch that was stopped, n at most, and has a batch that was closed end. Returns how many members it looked
-- at, 1 at least, how many it cancelled, and the group of the batch.
local function settle_batch(p, id, n, now)
  local batch, looked, cancelled = read_batch(p, id), 0, 0
  if batch and batch.stopped then looked, cancelled = cancel_members(p, batch, n, now) end
  if not batch or not batch.stopped or call('EXISTS', unfinished_key(p, id)) == 0 then
    advance_batch(p, id, now)
    call('ZREM', p .. ':settle', 'batch:' .. id)
  end
  return math.max(1, looked), cancelled, batch and batch.group
end
batch_ends.count_member, batch_ends.settle_batch = count_member, settle_batch
