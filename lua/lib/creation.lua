-- For admit and settle: creates new jobs of some kinds (kinds.lua), with few commands for many. One that waits for others has their number as
-- `waits`, and the score of a held job as `score`.

-- How important the end of a job is: 2 if it must be settled, 1 if only its deadlines matter, else nil.
local function hooks_of(new, batch)
  return (new.is_awaited or new.key ~= '' or batch and not string.find(batch, ':')) and 2 or new.kind.deadline and 1 or nil
end

-- The record of a new job without its spec. Jobs of a kind mostly have the same, so it is built once, unless the bytes count.
local function head_of(new, group, now, bytes, batch)
  local kind, hooks, inputs = new.kind, hooks_of(new, batch), new.after ~= '' and 1 or nil
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
  local fields, kind = {}, new.kind
  if new.after ~= '' then fields = { 'after', new.after, 'after_on', kind.after_on } end
  if new.waits then fields[#fields + 1] = 'needs'; fields[#fields + 1] = new.waits end
  if new.key ~= '' then
    for _, word in ipairs({ 'unique', new.unique, 'unique_key', new.key, 'unique_until', kind.unique_until }) do fields[#fields + 1] = word end
  end
  call('HSET', job_key(p, new.id), unpack(fields))
end

-- Adds the jobs to `queued` by their ranks at the ends of their priorities. Returns the first rank.
local function queue_new(p, group, new_jobs)
  local scores, first_rank, sequence = {}, math.huge, call('INCRBY', p .. ':sequence', #new_jobs) - #new_jobs
  for i = 1, #new_jobs do
    local rank = (2 - new_jobs[i].kind.priority) * STEP + sequence + i
    scores[2 * i - 1], scores[2 * i], first_rank = rank, new_jobs[i].id, math.min(first_rank, rank)
  end
  call_many('ZADD', set_key(p, group, 'queued'), scores)
  return first_rank
end

-- Creates jobs. `counts`: their bytes count. Returns the first rank of those that are queued; nil if none is.
local function create_jobs(p, group, new_jobs, now, counts, batch)
  if #new_jobs == 0 then return nil end
  local created_at, bytes, first_due, first_deadline, timers = digits(now), 0, math.huge, math.huge, {}
  local records, index, delayed, expiring, queued = { 0, 0 }, { 0, 0 }, {}, {}, {} -- two are preallocated for one job
  for i = 1, #new_jobs do
    local new = new_jobs[i]
    local id, spec, kind, size = new.id, new.spec, new.kind, counts and spec_bytes(p, new.id, new.spec)
    if counts then bytes = bytes + size end
    if spec == '' then call('PERSIST', job_key(p, id)) end -- of a staged payload
    records[2 * i - 1], records[2 * i] = id, head_of(new, group, now, size, batch) .. store_large_spec(p, id, spec)
    index[2 * i - 1], index[2 * i] = created_at, id
    if kind.deadline then
      expiring[#expiring + 1] = digits(kind.deadline); expiring[#expiring + 1] = id
      first_deadline = math.min(first_deadline, kind.deadline)
    end
    if new.after ~= '' or new.key ~= '' or new.waits then write_ties(p, new) end
    if new.waits then
      delayed[#delayed + 1] = new.score; delayed[#delayed + 1] = id
    elseif kind.due > now then
      delayed[#delayed + 1] = digits(kind.due); delayed[#delayed + 1] = id
      first_due = math.min(first_due, kind.due)
    else
      queued[#queued + 1] = new
    end
  end
  call_many('HSET', jobs_key(p), records)
  call_many('ZADD', set_key(p, group, 'jobs'), index)
  call_many('ZADD', set_key(p, group, 'delayed'), delayed)
  call_many('ZADD', set_key(p, group, 'expiring'), expiring)
  if counts and bytes > 0 then call('ZINCRBY', p .. ':bytes', bytes, group) end
  if first_due < math.huge then timers = { first_due, 'delayed:' .. group } end
  if first_deadline < math.huge then timers[#timers + 1] = first_deadline; timers[#timers + 1] = 'expiring:' .. group end
  set_timers(p, timers)
  return #queued > 0 and queue_new(p, group, queued) or nil
end
