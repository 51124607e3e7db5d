-- For settle: what the end of a job (ends.lua) means for the jobs that wait for it.
local HOW = { failed = 'failed', cancelled = 'was cancelled', gone = 'is gone' }

-- Its end is settled in this step too. Others must find it cancelled, once what is gathered is written.
local function cancel_dependant(p, group, dependant, parent, step)
  local id, key, deliveries = dependant.id, job_key(p, dependant.id), '0'
  if dependant.rank then deliveries = string.match(call('HGET', executions_key(p), id) or '', '^%d+$') or '0' end -- it ran before
  call('HSET', key, 'reason', 'dependency', 'error', 'It waited for the job ' .. parent.id .. ', which ' .. HOW[parent.status] .. '.')
  gather(step.cancelled, group, id)
  step.executions[#step.executions + 1] = id; step.executions[#step.executions + 1] = '* ' .. deliveries .. ' - cancelled ' .. step.at
  if needs_settling(dependant.record) then
    dependant.status, dependant.group = 'cancelled', group
    step.ends[#step.ends + 1] = dependant
  end
end

-- A job that waits for no other any more: its rank or its delay come from its settings. One that ran before has its rank.
local function enter_dependant(p, group, dependant, step)
  local settings, due, rank = settings_json(dependant.record), step.now, dependant.rank
  if not rank and string.find(settings, '"delay":', 1, true) then
    due = setting_in(settings, 'due') or step.now + setting_in(settings, 'delay') * 1000
  end
  if dependant.lane then append(step.entering, group, dependant.id, dependant.lane) end
  if not rank and due <= step.now and keys_take_turns(p, group) then append(step.turning, group, dependant.id, dependant.lane or '') end
  gather(step.entered, group, { id = dependant.id, due = due, rank = rank, priority = setting_in(settings, 'priority') or 0 })
end

-- A dependant that was cancelled meanwhile waits no more.
local function settle_dependant(p, group, dependant, parent, is_any_end, undone, step)
  if dependant.after then keep_input(p, dependant.id, dependant.after, parent.id, parent.status, parent.result or '') end
  if not dependant.needs then return end
  if parent.status ~= 'succeeded' and not is_any_end then
    undone[#undone + 1] = step.at; undone[#undone + 1] = group .. ' ' .. dependant.id
    dependant.needs = nil
    cancel_dependant(p, group, dependant, parent, step)
  elseif dependant.needs > 1 then
    dependant.needs = dependant.needs - 1
  else
    dependant.needs = nil
    enter_dependant(p, group, dependant, step)
  end
end

-- Notes in the job that has ended which jobs waited for it, and which of them are cancelled, so that its flow can be drawn and repeated.
local function note_dependants(p, parent, ids, undone)
  local fields = undone[1] and { 'undone', 1 } or {}
  local before = before_with(parent.before or '', ids)
  if before then fields[#fields + 1] = 'before'; fields[#fields + 1] = before end
  call_many('HSET', job_key(p, parent.id), fields)
  call_many('ZADD', undone_key(p, parent.id), undone)
end

-- Settles dependants of a job that has ended; whether all of them are settled.
local function settle_dependants(p, parent, members, step)
  local key, most, ids, groups, undone = after_key(p, parent.id), step.left, {}, {}, {}
  for i = 1, #members, 2 do
    local n = #ids + 1
    groups[n], ids[n] = string.match(members[i], '^(%S+) (%S+)$')
  end
  read_dependants(p, ids, step)
  for i = 1, #ids do
    local dependant = step.dependants[ids[i]]
    if dependant then settle_dependant(p, groups[i], dependant, parent, members[2 * i] == '1', undone, step) end
  end
  step.left = step.left - #ids
  if parent.status ~= 'gone' then note_dependants(p, parent, ids, undone) end
  if #ids < most then
    step.keys[#step.keys + 1] = key
    return true
  end
  local ended = {}
  for i = 1, #ids do ended[i] = members[2 * i - 1] end
  call_many('ZREM', key, ended)
  return call('EXISTS', key) == 0
end
