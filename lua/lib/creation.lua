-- For admit and settle: creates new jobs of some kinds (kinds.lua), with few commands for many. One that waits for others has their number as
-- `waits`, and the score of a held job as `score`.

-- The record of a new job without its spec. Jobs of a kind mostly have the same, so it is built once, unless the bytes count.
local function head_of(new, group, now, bytes, batch)
  local kind, hooks, inputs = new.kind, new.kind.deadline and 1 or nil, new.after ~= '' and 1 or nil
  if new.is_awaited or new.key ~= '' or new.lane or batch and not string.find(batch, ':') then hooks = 2 end -- its end must be settled
  local name = (hooks or 0) + (new.waits and 4 or 0) + (inputs and 8 or 0)
  local head = not bytes and kind.heads[name]
  if not head then
    head = build_record(full_settings(kind, hooks, new.waits, inputs, now, { bytes = bytes, batch = batch }), group, digits(now), '')
    kind.heads[name] = head
  end
  return head
end

-- The fields of P:job:<id> that tie a new job to others.
local function write_ties(p, new)
  local key, kind = job_key(p, new.id), new.kind
  if new.lane then call('HSET', key, 'key', new.lane) end
  if new.key ~= '' then call('HSET', key, 'unique', new.unique, 'unique_key', new.key, 'unique_until', kind.unique_until) end
  if new.after ~= '' and new.waits then
    call('HSET', key, 'after', new.after, 'after_on', kind.after_on, 'needs', new.waits)
  elseif new.after ~= '' then
    call('HSET', key, 'after', new.after, 'after_on', kind.after_on)
  elseif new.waits then
    call('HSET', key, 'needs', new.waits)
  end
end

-- Adds the jobs to `queued` by their ranks at the ends of their priorities. Returns the first rank.
local function queue_new(p, group, new_jobs)
  local scores, first_rank, rank, sequence = { 0, 0 }, math.huge, nil, call('INCRBY', p .. ':sequence', #new_jobs) - #new_jobs
  for i = 1, #new_jobs do
    rank = new_jobs[i].kind.first_rank + sequence + i
    scores[2 * i - 1], scores[2 * i], new_jobs[i].rank = rank, new_jobs[i].id, rank
    if rank < first_rank then first_rank = rank end
  end
  call_many('ZADD', set_key(p, group, 'queued'), scores)
  return first_rank
end

-- Creates jobs. `counts`: their bytes count. Returns the first rank of those that are queued; nil if none is.
local function create_jobs(p, group, new_jobs, now, counts, batch)
  if #new_jobs == 0 then return nil end
  local created_at, bytes, timers, queued, n_queued, n_delayed, n_expiring, size = digits(now), 0, {}, {}, 0, 0, 0, nil
  local records, index, delayed, expiring, kind = { 0, 0 }, { 0, 0 }, {}, {}, nil -- two are preallocated for one job
  for i = 1, #new_jobs do
    local new = new_jobs[i]
    local id, spec = new.id, new.spec
    if new.kind ~= kind then
      kind = new.kind
      if kind.deadline then timers[#timers + 1] = kind.deadline; timers[#timers + 1] = 'expiring:' .. group end
    end
    if counts then size = spec_bytes(p, id, spec); bytes = bytes + size end
    if spec == '' then call('PERSIST', job_key(p, id)) end -- of a staged payload
    records[2 * i - 1], records[2 * i] = id, head_of(new, group, now, size, batch) .. store_large_spec(p, id, spec)
    index[2 * i - 1], index[2 * i] = created_at, id
    if kind.deadline then expiring[n_expiring + 1], expiring[n_expiring + 2], n_expiring = kind.expires_at, id, n_expiring + 2 end
    if new.waits or new.after ~= '' or new.key ~= '' or new.lane then write_ties(p, new) end
    if not new.waits and kind.due <= now then
      n_queued = n_queued + 1
      queued[n_queued] = new
    else
      delayed[n_delayed + 1], delayed[n_delayed + 2], n_delayed = new.score or digits(kind.due), id, n_delayed + 2
      if not new.waits and not kind.has_timer then
        timers[#timers + 1], timers[#timers + 2], kind.has_timer = kind.due, 'delayed:' .. group, true
      end
    end
  end
  call_many('HSET', jobs_key(p), records)
  call_many('ZADD', set_key(p, group, 'jobs'), index)
  call_many('ZADD', set_key(p, group, 'delayed'), delayed)
  call_many('ZADD', set_key(p, group, 'expiring'), expiring)
  if bytes > 0 then call('ZINCRBY', p .. ':bytes', bytes, group) end
  set_timers(p, timers)
  return n_queued > 0 and queue_new(p, group, queued) or nil
end
