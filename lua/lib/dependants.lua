-- For settle: what the end of a job means for the jobs that wait for it. A step has `now`, ms, `left`, how many jobs it may handle
-- yet, and by group `touched`, whether jobs were made ready, and `cancelled`, how many were cancelled.
local function cancel_dependant(p, group, id, dependant, parent_id, status, step)
  finish_without_report(p, group, id, dependant, 'cancelled', 'dependency', step.now)
  call('HSET', job_key(p, id), 'error', 'It waited for the job ' .. parent_id .. ', which ' .. status .. '.')
  if status ~= 'is gone' then note_undone(p, group, id, parent_id, step.now) end
  step.cancelled[group] = (step.cancelled[group] or 0) + 1
end

-- A dependant that was cancelled or deleted meanwhile waits no more.
local function settle_dependant(p, group, id, parent_id, status, is_any_end, step)
  local dependant = find_job(p, group, id, 'needs', 'after', 'rank')
  if dependant and dependant.after then keep_input(p, id, dependant.after, parent_id, status) end
  if not dependant or dependant.status ~= 'delayed' or not dependant.needs then return end
  if status ~= 'succeeded' and not is_any_end then
    local how = status == 'failed' and 'failed' or status == 'cancelled' and 'was cancelled' or 'is gone'
    return cancel_dependant(p, group, id, dependant, parent_id, how, step)
  end
  if call('HINCRBY', job_key(p, id), 'needs', -1) > 0 then return end
  enter(p, group, id, dependant, step.now)
  step.touched[group] = true
end

-- Settles dependants of a job that has ended; whether all of them are settled.
local function settle_dependants(p, id, status, step)
  local key = after_key(p, id)
  local members, ended = call('ZRANGE', key, 0, step.left - 1, 'WITHSCORES'), {}
  for i = 1, #members, 2 do
    local group, dependant_id = string.match(members[i], '^(%S+) (%S+)$')
    settle_dependant(p, group, dependant_id, id, status, members[i + 1] == '1', step)
    ended[#ended + 1] = members[i]
  end
  call_many('ZREM', key, ended)
  step.left = step.left - #ended
  if status ~= 'gone' then note_before(p, id, ended) end
  return call('EXISTS', key) == 0
end
