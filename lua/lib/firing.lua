-- For fire: for which times a schedule fired, and the job of one time.
local MOST_STRETCHES = 1000

-- A stretch is a first and a last time between which the schedule fired for each of its times: the first is the member, the last
-- is the score. Whether one has this time.
local function has_fired(key, at)
  local first = call('ZRANGEBYSCORE', key, at, '+inf', 'LIMIT', 0, 1)[1]
  return first and tonumber(first) <= tonumber(at)
end

-- Notes that the schedule with this key fired for a time. `before` is the time of the schedule before this one, or ''.
local function note_time(key, at, before)
  local times = key .. ':times'
  local first = before ~= '' and call('ZRANGEBYSCORE', times, before, before, 'LIMIT', 0, 1)[1] or at
  call('ZADD', times, at, first)
  call('ZREMRANGEBYRANK', times, 0, -1 - MOST_STRETCHES)
end

-- Notes the last time at which the schedule was due, if it fired for it.
local function note_handled(key, at)
  if not at then return call('HDEL', key, 'handled') end
  call('HSET', key, 'handled', at)
  call('HINCRBY', key, 'fires', 1)
end

-- Creates the job unless the policy, the limits or its key forbid it. `how` has overlap, is_backfill, max_jobs, max_bytes, and the
-- text for jobs that it cancels. Returns why not, or nil; the job, or the one in the way; and how many jobs were cancelled.
local function create_scheduled(p, group, key, new, how, now)
  local counts, n_cancelled, is_stored = how.max_bytes > 0 or nil, 0, stored_keys(p, group, { new })
  local why, holder_id, parents = judge(p, group, key, how.overlap, how.is_backfill)
  if why then return why, holder_id, 0 end
  new.after, new.kind.after_on, new.is_awaited = table.concat(parents, ' '), 'over', true -- so its end is settled
  if over_limit(p, group, 1, counts and new_bytes(p, { new }) or 0, how.max_jobs, how.max_bytes) then return 'limit', nil, 0 end
  if new.key ~= '' then holder_id = select(4, holder_of(p, group, new.key, now)) end
  if refused_key(p, group, { new }, is_stored, now) then return 'duplicate', holder_id, 0 end
  if how.overlap == 'cancel' then n_cancelled = cancel_open(p, group, key, how.text, now) end
  local refused, outcomes, rank = tied_jobs(p, group, { new }, is_stored, now, counts, '', {})
  if refused then return 'limit', nil, n_cancelled end
  local held_by = string.match(outcomes[1], '^=(.*)')
  if held_by and new.kind.on_conflict == 'existing' then return 'duplicate', held_by, n_cancelled end
  if rank then notify_enqueued(p, { [group] = rank }, {}, digits(now), '') end
  if n_cancelled > 0 then refresh_ready(p, group) end
  call('RPUSH', key, held_by or new.id)
  call('LTRIM', key, -MOST_OPEN, -1)
  return nil, held_by or new.id, n_cancelled
end
