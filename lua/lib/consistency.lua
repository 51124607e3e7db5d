-- For check: finds remains of deleted jobs, ends that are not settled, and counts the bytes of a group again.
local STATUSES = { 'delayed', 'queued', 'running', 'succeeded', 'failed', 'cancelled' }

local function is_job(p, id)
  local group_name, _, spec = parse_record(call('HGET', jobs_key(p), id) or '')
  return group_name and spec_bytes(p, id, spec) > 0
end

-- The end of a job that has dependants, or that has hooks for it, is settled, or will be.
local function check_end(p, now, id, add_finding)
  local record = call('HGET', jobs_key(p), id)
  local group = record and parse_record(record)
  local execution = call('HGET', executions_key(p), id)
  local status = group and status_of(p, group, id, execution)
  local has_hooks, is_over = group and needs_settling(record), not group or RETENTION_S[status]
  if not has_hooks and call('EXISTS', after_key(p, id)) == 0 then return end
  if call('ZSCORE', p .. ':settle', id) or not is_over and has_hooks then return end
  add_finding(id, is_over and 'has ended, but its end is not settled' or 'has dependants, but its end would not be settled', function()
    if not is_over then return hook(p, id, record, execution, status == 'running') end
    settle_later(p, { id }, now, {})
  end)
end

-- Reports each key that still has this id although no such job exists: the sets of the group, if one is named, and the hashes.
-- It calls add_finding(id, problem, fix) for each; fix is a function that repairs it.
local function check_leftovers(p, now, group, id, add_finding)
  for _, set in ipairs(group ~= '' and { 'jobs', 'expiring', unpack(STATUSES) } or {}) do
    if call('ZSCORE', set_key(p, group, set), id) then
      add_finding(id, 'is in ' .. set .. ' but is no job', function() return call('ZREM', set_key(p, group, set), id) end)
    end
  end
  check_end(p, now, id, add_finding)
  if is_job(p, id) then return end
  for _, kind in ipairs({ 'inputs', 'undone' }) do
    local key = p .. ':' .. kind .. ':' .. id
    if call('EXISTS', key) == 1 then add_finding(id, 'has ' .. kind .. ' but is no job', function() return call('DEL', key) end) end
  end
  if call('HEXISTS', executions_key(p), id) == 1 then
    add_finding(id, 'is in executions but is no job', function() return call('HDEL', executions_key(p), id) end)
  end
  if call('HEXISTS', jobs_key(p), id) == 1 then
    add_finding(id, 'has a record that is damaged or has no spec', function() return call('HDEL', jobs_key(p), id) end)
  end
  if call('PTTL', job_key(p, id)) == -1 then -- not -2: no hash; not a time: a staged payload
    add_finding(id, 'has a hash but is no job', function()
      if call('HEXISTS', job_key(p, id), 'log_bytes') == 1 then call('ZADD', p .. ':discarded', now, id) end
      return call('DEL', job_key(p, id))
    end)
  end
end

-- The bytes of a group's unfinished jobs; nil if they are too many for one call.
local function recount(p, group)
  local sum, left = 0, 10000
  for _, set in ipairs({ 'delayed', 'queued', 'running' }) do
    local ids = call('ZRANGE', set_key(p, group, set), 0, left)
    left = left - #ids
    if left < 0 then return nil end
    for first = 1, #ids, 1000 do
      local texts = call('HMGET', jobs_key(p), unpack(ids, first, math.min(first + 999, #ids)))
      for i = 1, #texts do sum = sum + (setting_in(texts[i] or '', 'bytes') or 0) end
    end
  end
  return sum
end

local function store_sum(p, group, sum)
  if sum > 0 then call('ZADD', p .. ':bytes', sum, group) else call('ZREM', p .. ':bytes', group) end
end
