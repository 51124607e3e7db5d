-- Put before check: the sum of the bytes of a group's unfinished jobs (see _limits.lua), counted anew.

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
