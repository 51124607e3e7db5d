-- For settle: the ends of jobs. An end has `id`, `record` or nil, `group`, `status` or `gone`; `is_stored` if it is in P:settle, not
-- of this step; `key`, a unique key, `lane`, its `key`, `before` and `result`: fields of the job, or nothing.

-- Begins a step with the first ends in P:settle.
local function read_ends(p, step)
  local ids = call('ZRANGE', p .. ':settle', 0, step.left - 1)
  if not ids[1] then return end
  local records, executions = call('HMGET', jobs_key(p), unpack(ids)), call('HMGET', executions_key(p), unpack(ids))
  for i = 1, #ids do
    local record, group, status = records[i], nil, 'gone'
    if record then group = parse_record(record) end
    if group and RETENTION_S[status_in(executions[i])] then status = status_in(executions[i]) end
    step.ends[i] = { id = ids[i], record = group and record, group = group, status = status, is_stored = true }
  end
end

-- Reads what an end that is in P:settle means to others.
local function read_end(p, ended, has_dependants)
  local key = job_key(p, ended.id)
  if not has_dependants then
    ended.key, ended.lane = unpack(call('HMGET', key, 'unique_key', 'key'))
  else
    ended.key, ended.lane, ended.before, ended.result = unpack(call('HMGET', key, 'unique_key', 'key', 'before', 'result'))
  end
end

-- Reads dependants that the step has not read: their records and what they wait for. Those that were deleted meanwhile are not in
-- step.dependants then.
local function read_dependants(p, ids, step)
  local missing = {}
  for i = 1, #ids do
    if not step.dependants[ids[i]] then missing[#missing + 1] = ids[i] end
  end
  if not missing[1] then return end
  local records = call('HMGET', jobs_key(p), unpack(missing))
  for i = 1, #missing do
    local id, record = missing[i], records[i]
    if record then
      local names = { 'needs', 'after', 'unique_key', 'before', 'rank', 'key' }
      local needs, after, key, before, rank, lane = unpack(call('HMGET', job_key(p, id), unpack(names)))
      needs = tonumber(needs or nil)
      step.dependants[id] = {
        id = id, record = record, needs = needs, stored = needs, after = after, key = key, before = before, rank = rank, lane = lane,
      }
    end
  end
end

-- The record of a job whose end is settled.
local CLOSING = 125 -- of `{"hooks":2} `, where others have a comma
local function without_hooks(record)
  return byte(record, 11) == CLOSING and string.sub(record, 13) or '{' .. string.sub(record, 12)
end
