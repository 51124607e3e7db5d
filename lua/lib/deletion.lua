-- For scripts that delete finished jobs.

-- Those of finished jobs, or of batches as `batch:<id>`, that may be deleted: their end is settled.
local function settled_of(p, ids)
  if #ids == 0 or call('EXISTS', p .. ':settle') == 0 then return ids end
  local settled = {}
  for first = 1, #ids, 1000 do
    local some = { unpack(ids, first, math.min(first + 999, #ids)) }
    local unsettled = call('ZMSCORE', p .. ':settle', unpack(some))
    for i = 1, #some do if not unsettled[i] then settled[#settled + 1] = some[i] end end
  end
  return settled
end

-- Deletes finished jobs and all that belongs to them, except their logs: a broker deletes those. Returns the number of logs.
local function delete_jobs(p, group, ids, status, now)
  local logs = {}
  for first = 1, #ids, 1000 do
    local keys = {}
    for i = first, math.min(first + 999, #ids) do keys[#keys + 1] = job_key(p, ids[i]) end
    if call('EXISTS', unpack(keys)) > 0 then
      for i = 1, #keys do
        local id, has = ids[first + i - 1], call('HMGET', keys[i], 'log_bytes', 'after', 'undone')
        if has[1] then logs[#logs + 1] = digits(now); logs[#logs + 1] = id end
        if has[2] then keys[#keys + 1] = p .. ':inputs:' .. id end
        if has[3] then keys[#keys + 1] = p .. ':undone:' .. id end
      end
      call('DEL', unpack(keys))
    end
  end
  call_many('ZREM', set_key(p, group, status), ids)
  call_many('ZREM', set_key(p, group, 'jobs'), ids)
  call_many('HDEL', executions_key(p), ids)
  call_many('HDEL', jobs_key(p), ids)
  call_many('ZADD', p .. ':discarded', logs)
  return #logs / 2
end
