-- For fire: the job of one time of a schedule.

-- The job that a fire replaced may be of another schedule, which does not learn of its end then: its history reports it.
local function note_replaced(p, group, id, before, after)
  local pattern = '"schedule":"([^"]+)"'
  local name = string.match(settings_json(before or ''), pattern)
  local key = schedule_key(p, group, name or '')
  if name and name ~= string.match(settings_json(after), pattern) and call('EXISTS', key) == 1 then note_outcome(key, id, nil, 'replaced') end
end

-- Whether a job has no room for the new one although the open jobs of the schedule are cancelled first: none of these is cancelled
-- for nothing. A window outlasts the job that holds the key.
local function stays_in_the_way(new, id, holder, ends, open, now)
  local is_cancelled = false
  for i = 1, #open do is_cancelled = is_cancelled or open[i] == id end
  if is_cancelled or RETENTION_S[holder.status] then return ends > now end
  return new.kind.on_conflict == 'existing'
end

-- Creates the job unless the policy, the limits or its key forbid it. `how` has overlap, is_backfill, max_jobs, max_bytes, and the
-- text for jobs that it cancels. Returns why not, or nil; the job, or the one in the way; and how many jobs were cancelled.
local function scheduled_job(p, group, key, new, how, now)
  local counts, n_cancelled, is_stored = how.max_bytes > 0 or nil, 0, stored_keys(p, group, { new })
  local why, holder_id, parents = judge(p, group, key, how.overlap, how.is_backfill)
  if why then return why, holder_id, 0 end
  new.after, new.kind.after_on, new.is_awaited = table.concat(parents, ' '), 'over', true -- so its end is settled
  if over_limit(p, group, 1, counts and new_bytes(p, { new }) or 0, how.max_jobs, how.max_bytes) then return 'limit', nil, 0 end
  local open, holder, ends, _ = how.overlap == 'cancel' and open_ids(p, group, key, MOST_OPEN) or {}, nil, nil, nil
  if new.key ~= '' then holder, _, ends, holder_id = holder_of(p, group, new.key, now) end
  local before = holder_id and call('HGET', jobs_key(p), holder_id)
  if refused_key(p, group, { new }, is_stored, now) then return 'duplicate', holder_id, 0 end
  if how.overlap == 'cancel' then
    if holder and stays_in_the_way(new, holder_id, holder, ends, open, now) then return 'duplicate', holder_id, 0 end
    n_cancelled = cancel_open(p, group, open, how.text, now)
  end
  if n_cancelled > 0 then refresh_ready(p, group) end
  local refused, outcomes, rank = tied_jobs(p, group, { new }, is_stored, now, counts, '', {})
  if refused then return 'limit', nil, n_cancelled end
  local held_by = string.match(outcomes[1], '^=(.*)')
  local found = held_by and find_job(p, group, held_by)
  -- a job that has ended is not replaced: it holds its key until its window ends
  if found and (new.kind.on_conflict == 'existing' or RETENTION_S[found.status]) then return 'duplicate', held_by, n_cancelled end
  if found then note_replaced(p, group, held_by, before, found.record) end
  if rank then notify_enqueued(p, { [group] = rank }, {}, digits(now), '') end
  call('RPUSH', key, held_by or new.id)
  call('LTRIM', key, -MOST_OPEN, -1)
  return nil, held_by or new.id, n_cancelled
end
