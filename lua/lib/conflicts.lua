-- For admit: what becomes of a new job whose key another job holds.

-- The refusal of a job that must not have the key of another one; nil if none is refused.
local function refused_key(p, group, new_jobs, now)
  local is_taken = {}
  for i = 1, #new_jobs do
    local key = new_jobs[i].key
    if key ~= '' and new_jobs[i].on_conflict == 'refuse' then
      local holder, _, _, holder_id = holder_of(p, group, key, now)
      if holder and not RETENTION_S[holder.status] then return refuse('DUPLICATE', 'The job ' .. holder_id .. ' holds the key.') end
      if is_taken[key] then return refuse('DUPLICATE', 'Two jobs of the call have the same key.') end
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
  local at = math.max(now, math.min(time_in(new.due, now) or now, holder.created_at + new.max_wait))
  call('ZADD', set_key(p, group, 'delayed'), digits(at), id)
  set_timer(p, 'delayed', group, at)
end

-- A job that does not run gets what the new one has, but for its id, its creation and its key.
local function replace_holder(p, group, id, holder, new, now, counts)
  local key, deadlines, spec = job_key(p, id), deadlines_of(new, now), new.spec
  new.inputs = holder.inputs
  if spec == '' then
    spec = call('HGET', job_key(p, new.id), 'spec')
    call('DEL', job_key(p, new.id))
  end
  new.batch = batch_text(holder.record)
  local settings = full_settings(new, deadlines, true, now, counts, string.match(holder.record, '^%S*"retry_of":"(%w+)"'))
  call('HDEL', key, 'spec')
  call('HSET', jobs_key(p), id, build_record(settings, group, holder.created_at, store_large_spec(p, id, spec)))
  set_deadline(p, group, id, deadlines, holder.deliveries)
  local more = (counts and new.size or 0) - (setting_in(holder.record, 'bytes') or 0)
  if more ~= 0 and tonumber(call('ZINCRBY', p .. ':bytes', more, group)) <= 0 then call('ZREM', p .. ':bytes', group) end
  if holder.status == 'queued' and (holder.priority or 0) ~= tonumber(new.priority) then
    call('ZADD', set_key(p, group, 'queued'), new_rank(p, tonumber(new.priority)), id)
    refresh_ready(p, group)
  end
  if new.on_conflict == 'push' then push(p, group, id, holder, new, now) end
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
