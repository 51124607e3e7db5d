-- Put before the scripts that take new jobs of clients: what a group may have unfinished; a limit of 0 is none. A job that
-- came while max_bytes was set counts, with its field `bytes`, and so does each that retries it. `bytes` of the partition has
-- every group with such jobs, and their sum.
local UNFINISHED = { 'delayed', 'queued', 'running' }

local function unfinished(p, group)
  local n = 0
  for _, set in ipairs(UNFINISHED) do n = n + call('ZCARD', set_key(p, group, set)) end
  return n
end

-- the refusal when so many more jobs, of so many bytes, are too many for the group, or nil
local function over_limit(p, group, jobs, bytes, max_jobs, max_bytes)
  if max_jobs + max_bytes == 0 then return nil end
  local has = unfinished(p, group)
  if max_jobs > 0 and has + jobs > max_jobs then
    return refuse('LIMIT_REACHED', 'The group has ' .. has .. ' unfinished jobs, and may have ' .. whole(max_jobs) .. '.')
  end
  -- a group without such jobs has none, whatever its sum says
  local sum = max_bytes > 0 and has > 0 and call('ZSCORE', p .. ':bytes', group) or 0
  if max_bytes > 0 and sum + bytes > max_bytes then
    local limits = whole(sum) .. ' bytes, and may have ' .. whole(max_bytes) .. '.'
    return refuse('LIMIT_REACHED', 'The unfinished jobs of the group have ' .. limits)
  end
end

-- how many jobs come with the runs of enqueue, and how many bytes they have: each by group
local function weigh(runs, at)
  local jobs, bytes = {}, {}
  while at < #runs do
    local group, n, job = runs[at], runs[at + 1], at + 5 + runs[at + 4]
    at, jobs[group], bytes[group] = job + 2 * n, (jobs[group] or 0) + n, bytes[group] or 0
    for i = job + 1, at, 2 do bytes[group] = bytes[group] + #runs[i] end
  end
  return jobs, bytes
end

-- what the unfinished jobs of the group that count sum up to, for check; nil where they are too many for one call
local function recount(p, group)
  local MOST, sum = 10000, 0
  if unfinished(p, group) > MOST then return nil end
  for _, set in ipairs(UNFINISHED) do
    local ids = call('ZRANGE', set_key(p, group, set), 0, MOST)
    for i = 1, #ids do sum = sum + (call('HGET', job_key(p, ids[i]), 'bytes') or 0) end
  end
  return sum
end

local function set_sum(p, group, sum)
  if sum > 0 then call('ZADD', p .. ':bytes', sum, group) else call('ZREM', p .. ':bytes', group) end
end
