-- For settle: what one step writes. It gathers most of that, so that few commands write what many ends mean.
--
-- A step has `now`, ms, and `left`, how many jobs it may handle yet; by group `cancelled`, ids, `entered`, jobs that come into the
-- queue, and `freed`, unique keys; by id `dependants`, with `needs` as it will be and `stored` as it is; `records`, `executions` and `settled` as words; `keys` to delete; `ends`, what is to be settled in this step;
-- over all of it by group `n_cancelled`, and `touched`, whether jobs may have been made ready; and of lanes `left_lanes`, `entering`, `turning`, `lanes` and `are_noted` (lane_turns.lua).
local function clear_step(step)
  step.cancelled, step.entered, step.freed, step.dependants = {}, {}, {}, {}
  step.records, step.executions, step.settled, step.keys = {}, {}, {}, {}
end
local function begin_step(now, left)
  local step = { now = now, at = digits(now), left = left, ends = {}, n_cancelled = {}, touched = {} }
  step.left_lanes, step.entering, step.turning, step.lanes = {}, {}, {}, {} clear_step(step)
  return step
end

-- Appends a value to the list of this name.
local function gather(lists, name, value)
  local list = lists[name] or {}
  lists[name], list[#list + 1] = list, value
end

local function append(list, group, id, lane)
  local n = #list
  list[n + 1], list[n + 2], list[n + 3] = group, id, lane
end

-- Held jobs that wait for nothing any more come into the queue, or their own delays begin. Those that ran before have ranks.
local function write_entered(p, group, entered, now, timers)
  local queued, delayed, ids, ranked, first_due, boost = {}, {}, {}, {}, math.huge, nil
  for i = 1, #entered do
    local id, due, priority = entered[i].id, entered[i].due, entered[i].priority
    if boost == nil and priority > 0 then boost = call('HGET', group_key(p, group), 'priority_boost') end
    if due > now then
      delayed[#delayed + 1] = digits(due); delayed[#delayed + 1] = id
      first_due = math.min(first_due, due)
    else
      ids[#ids + 1], ranked[id] = id, entered[i].rank
      queued[2 * #ids - 1], queued[2 * #ids] = entered[i].rank or boost and 2 * STEP - priority * boost or (2 - priority) * STEP, id
    end
  end
  call_many('ZADD', set_key(p, group, 'delayed'), delayed)
  if delayed[1] then timers[#timers + 1] = first_due; timers[#timers + 1] = 'delayed:' .. group end
  if not ids[1] then return end
  local sequence = call('INCRBY', p .. ':sequence', #ids) - #ids
  for i = 1, #ids do
    if not ranked[ids[i]] then queued[2 * i - 1] = queued[2 * i - 1] + sequence + i end
  end
  call_many('ZREM', set_key(p, group, 'delayed'), ids)
  call_many('ZADD', set_key(p, group, 'queued'), queued)
  if call('EXISTS', p .. ':image_pollers') == 1 then call('PUBLISH', p .. ':notify', group) end
end

-- Writes what was gathered, for functions that read it, and at the end of the step.
local function write_step(p, step)
  local timers = {}
  for id, dependant in pairs(step.dependants) do
    if not dependant.needs and dependant.stored then
      call('HDEL', job_key(p, id), 'needs', 'rank')
    elseif dependant.needs ~= dependant.stored then
      call('HSET', job_key(p, id), 'needs', dependant.needs)
    end
  end
  for group, ids in pairs(step.cancelled) do
    call_many('ZREM', set_key(p, group, 'delayed'), ids)
    call_many('ZREM', set_key(p, group, 'expiring'), ids)
    move_to_finished(p, group, ids, 'cancelled', call('HGET', group_key(p, group), 'retention_cancelled'), step.now, timers)
    step.n_cancelled[group] = (step.n_cancelled[group] or 0) + #ids
  end
  for group, entered in pairs(step.entered) do
    write_entered(p, group, entered, step.now, timers)
    step.touched[group] = true
  end
  for group, keys in pairs(step.freed) do call_many('HDEL', set_key(p, group, 'unique'), keys) end
  call_many('HSET', executions_key(p), step.executions)
  call_many('HSET', jobs_key(p), step.records)
  call_many('ZREM', p .. ':settle', step.settled)
  if step.keys[1] then call('DEL', unpack(step.keys)) end
  set_timers(p, timers)
  clear_step(step)
end
