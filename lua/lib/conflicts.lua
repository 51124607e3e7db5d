-- For admit: what becomes of a new job whose key another job holds.

-- The refusal of a job that must not have the key of another one, with the id of the new job first; nil if none is refused.
local function refused_key(p, group, new_jobs, is_stored, now)
  local is_taken = {}
  for i = 1, #new_jobs do
    local key = new_jobs[i].key
    if key ~= '' and new_jobs[i].kind.on_conflict == 'refuse' then
      local holder, holder_id, _ = nil, nil, nil
      if is_stored[key] then holder, _, _, holder_id = holder_of(p, group, key, now) end
      local is_held = holder and not RETENTION_S[holder.status]
      if is_held then return refuse('DUPLICATE', new_jobs[i].id .. ' The job ' .. holder_id .. ' holds the key ' .. key .. '.') end
      if is_taken[key] then return refuse('DUPLICATE', new_jobs[i].id .. ' Two jobs of the call have the key ' .. key .. '.') end
    end
    is_taken[key] = key ~= ''
  end
end

-- What happens to a new job: existing, follow, replace or push. Within its window a job that has ended holds its key too. One that
-- waits in the middle of its work cannot be replaced.
local function conflict_with(holder, on_conflict)
  if RETENTION_S[holder.status] or on_conflict == 'refuse' then return 'existing' end
  return (holder.status == 'running' or holder.waited) and on_conflict ~= 'existing' and 'follow' or on_conflict
end

-- A push begins the delay of a job again, but never past max_wait from its creation on.
local function push(p, group, id, holder, new, now)
  if holder.status ~= 'delayed' or holder.deliveries > 0 or is_held(p, group, id) then return end
  local at = math.max(now, math.min(new.kind.due, holder.created_at + new.kind.max_wait))
  call('ZADD', set_key(p, group, 'delayed'), 'XX', digits(at), id)
  set_timer(p, 'delayed', group, at)
end

-- The settings that say which fire of a schedule made a job, or of which group it is a dead letter; nil for another job, and when
-- a schedule made the new one too.
local function origin_in(record, new)
  if string.find(new.kind.settings, '"schedule"', 1, true) then return nil end
  local settings = settings_json(record)
  local fire = string.match(settings, '"schedule":"[^"]+","scheduled_for":%d+')
  return fire or string.match(settings, '"dead_letter_of":"[^"]+"')
end

-- A job that does not run gets what the new one has, but for its id, its creation, its key and where it comes from.
local function replace_holder(p, group, id, holder, new, now, counts)
  local key, kind, spec, bytes = job_key(p, id), new.kind, new.spec, counts and spec_bytes(p, new.id, new.spec)
  if spec == '' then spec = call('HGET', job_key(p, new.id), 'spec') end -- staged: the caller deletes it there
  local more = { bytes = bytes, batch = batch_text(holder.record), origin = origin_in(holder.record, new) }
  more.retry_of = string.match(holder.record, '^%S*"retry_of":"(%w+)"')
  local settings = full_settings(kind, 2, true, holder.inputs, now, more)
  call('HDEL', key, 'spec')
  call('HSET', jobs_key(p), id, build_record(settings, group, holder.created_at, store_large_spec(p, id, spec)))
  set_deadline(p, group, id, kind, holder.deliveries)
  local change = (bytes or 0) - (setting_in(holder.record, 'bytes') or 0)
  if change ~= 0 and tonumber(call('ZINCRBY', p .. ':bytes', change, group)) <= 0 then call('ZREM', p .. ':bytes', group) end
  if holder.status == 'queued' and (holder.priority or 0) ~= (setting_in(settings, 'priority') or 0) then
    call('ZADD', set_key(p, group, 'queued'), kind.first_rank + call('INCR', p .. ':sequence'), id)
    refresh_ready(p, group)
  elseif holder.status == 'delayed' and (holder.priority or 0) ~= (setting_in(settings, 'priority') or 0) then
    local rank, lane = kind.first_rank + call('INCR', p .. ':sequence'), call('HGET', key, 'key')
    if call('HEXISTS', key, 'rank') == 1 then call('HSET', key, 'rank', digits(rank)) end
    if lane and call('HGET', key, 'needs') == 'key' then call('ZADD', lane_key(p, group, lane), 'XX', digits(rank), id) end
  end
  change_key(p, group, id, new.lane, now)
  if kind.on_conflict == 'push' then push(p, group, id, holder, new, now) end
end

-- A new job follows the holder of its key, in place of an earlier follower.
local function follow(p, group, new, holder_id, earlier_id, ends, now)
  if earlier_id then
    local error_text = 'The job ' .. new.id .. ' replaced it.'
    call('ZREM', after_key(p, holder_id), group .. ' ' .. earlier_id)
    finish_without_report(p, group, earlier_id, find_job(p, group, earlier_id), 'cancelled', 'replaced', now)
    call('HSET', job_key(p, earlier_id), 'error', error_text)
  end
  call('HSET', job_key(p, new.id), 'leader', holder_id)
  write_key(p, group, new.key, holder_id, new.id, ends)
end
