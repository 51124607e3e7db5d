-- Put before the scripts that take new jobs of clients: what a group may have unfinished; a limit of 0 is none. A job that
-- came while max_bytes was set counts, with `bytes` in its settings, and so does each that retries it. `bytes` of the
-- partition has every group with such jobs that are unfinished, and their sum.

-- the refusal when so many more jobs, of so many bytes, are too many for the group, or nil
local function over_limit(p, group, jobs, bytes, max_jobs, max_bytes)
  local has = 0
  for _, set in ipairs({ 'delayed', 'queued', 'running' }) do has = has + call('ZCARD', set_key(p, group, set)) end
  if max_jobs > 0 and has + jobs > max_jobs then
    return refuse('LIMIT_REACHED', 'The group has ' .. has .. ' unfinished job' .. (has == 1 and '' or 's') .. ', and may have ' .. whole(max_jobs) .. '.')
  end
  if max_bytes == 0 then return nil end
  local sum = has > 0 and call('ZSCORE', p .. ':bytes', group) or 0 -- without such jobs none, whatever its sum says
  if sum + bytes > max_bytes then
    local limits = whole(sum) .. ' bytes, and may have ' .. whole(max_bytes) .. '.'
    return refuse('LIMIT_REACHED', 'The unfinished jobs of the group have ' .. limits)
  end
end

-- the settings of a job that counts with so many bytes
local function counted(settings, bytes)
  return (settings == '' and '{' or string.sub(settings, 1, -2) .. ',') .. '"bytes":' .. whole(bytes) .. '}'
end

-- of what comes with the runs of enqueue: the refusal of a group, or nil; and by group how many bytes come
local function any_over_limit(p, runs, at, max_jobs, max_bytes)
  local jobs, bytes = {}, {}
  each_new(runs, at, function(group, id, spec)
    jobs[group], bytes[group] = (jobs[group] or 0) + 1, (bytes[group] or 0) + spec_bytes(p, id, spec)
  end)
  for group, n in pairs(jobs) do
    local refused = over_limit(p, group, n, bytes[group], max_jobs, max_bytes)
    if refused then return refused end
  end
  return nil, bytes
end
