-- For enqueue and retry: limits the unfinished jobs of a group, by number and by bytes. A limit of 0 means no limit. A group has
-- limits of its own, or those of the broker.
-- A job that is enqueued while max_bytes is set has `bytes` in its settings, and so have its retries. P:bytes has the sum of
-- these for each group with such unfinished jobs.

-- The refusal if the group has no room for a number of new jobs with these bytes in all; else nil, and how full it is with them,
-- in percent, from 80 on.
local function over_limit(p, group, jobs, bytes, max_jobs, max_bytes)
  local has, sum = nil, max_bytes > 0 and tonumber(call('ZSCORE', p .. ':bytes', group) or nil) or 0
  if max_jobs > 0 or sum + bytes >= 0.8 * max_bytes then
    has = call('ZCARD', set_key(p, group, 'queued')) + call('ZCARD', set_key(p, group, 'running'))
    has = has + call('ZCARD', set_key(p, group, 'delayed'))
    if has == 0 then sum = 0 end -- an empty group has 0, even if its sum is wrong
  end
  if max_jobs > 0 and has + jobs > max_jobs then
    local limits = ' unfinished job' .. (has == 1 and '' or 's') .. ', and may have ' .. digits(max_jobs) .. '.'
    return refuse('LIMIT_REACHED', 'The group has ' .. has .. limits)
  end
  if max_bytes > 0 and sum + bytes > max_bytes then
    local limits = digits(sum) .. ' bytes, and may have ' .. digits(max_bytes) .. '.'
    return refuse('LIMIT_REACHED', 'The unfinished jobs of the group have ' .. limits)
  end
  local full = math.max(max_jobs > 0 and (has + jobs) / max_jobs or 0, max_bytes > 0 and (sum + bytes) / max_bytes or 0)
  return nil, full >= 0.8 and math.floor(full * 100) or nil
end

-- The settings of a job, with the bytes that it counts for.
local function with_bytes(settings, bytes)
  return (settings == '' and '{' or string.sub(settings, 1, -2) .. ',') .. '"bytes":' .. digits(bytes) .. '}'
end

-- Checks each group in the batches of enqueue. Returns the first refusal, or nil, the new bytes of each group, and the groups that
-- are almost full: name, percent…
local function any_over_limit(p, batches, at, max_jobs, max_bytes)
  local jobs, bytes, almost_full = {}, {}, {}
  while at < #batches do
    local group, first, sum = batches[at], at + 5, 0
    at = first + 2 * batches[at + 1]
    jobs[group] = (jobs[group] or 0) + (at - first) / 2
    if max_bytes > 0 then -- else nothing asks for them
      for i = first, at - 1, 2 do sum = sum + spec_bytes(p, batches[i], batches[i + 1]) end
    end
    bytes[group] = (bytes[group] or 0) + sum
  end
  for group, n in pairs(jobs) do
    local refused, full = over_limit(p, group, n, bytes[group], max_jobs, max_bytes)
    if refused then return refused end
    if full then almost_full[#almost_full + 1] = group; almost_full[#almost_full + 1] = full end
  end
  return nil, bytes, almost_full
end
