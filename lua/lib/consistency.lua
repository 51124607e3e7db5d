-- Put before check: what is left of jobs that are gone, and the sums of bytes counted anew.
local STATUSES = { 'delayed', 'queued', 'running', 'succeeded', 'failed', 'cancelled' }

local function is_job(p, id)
  local group_name, _, spec = parts_of(call('HGET', jobs_key(p), id) or '')
  return group_name and spec_bytes(p, id, spec) > 0
end

-- say where this id still stands, in the sets of the group, if one is named, and elsewhere, though it is no job there:
-- found(id, what, how it is mended)
local function check_rest(p, now, group, id, found)
  for _, set in ipairs(group ~= '' and { 'jobs', unpack(STATUSES) } or {}) do
    if call('ZSCORE', set_key(p, group, set), id) then
      found(id, 'is in ' .. set .. ' but is no job', function() call('ZREM', set_key(p, group, set), id) end)
    end
  end
  if is_job(p, id) then return end
  if call('HEXISTS', executions_key(p), id) == 1 then
    found(id, 'is in executions but is no job', function() call('HDEL', executions_key(p), id) end)
  end
  if call('HEXISTS', jobs_key(p), id) == 1 then
    found(id, 'is no job, but in the hash of all of them', function() call('HDEL', jobs_key(p), id) end)
  end
  if call('PTTL', job_key(p, id)) == -1 then -- else there is none, or it came ahead of an enqueue
    found(id, 'has a hash but is no job', function()
      if call('HEXISTS', job_key(p, id), 'log_bytes') == 1 then call('ZADD', p .. ':discarded', now, id) end
      call('DEL', job_key(p, id))
    end)
  end
end


-- nil where the jobs are too many for one call
local function recount(p, group)
  local sum, left = 0, 10000
  for _, set in ipairs({ 'delayed', 'queued', 'running' }) do
    local ids = call('ZRANGE', set_key(p, group, set), 0, left)
    left = left - #ids
    if left < 0 then return nil end
    for i = 1, #ids do sum = sum + (setting_in(call('HGET', jobs_key(p), ids[i]) or '', 'bytes') or 0) end
  end
  return sum
end

local function set_sum(p, group, sum)
  if sum > 0 then call('ZADD', p .. ':bytes', sum, group) else call('ZREM', p .. ':bytes', group) end
end
