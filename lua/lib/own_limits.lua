-- For scripts that retry jobs: the limits of a group for unfinished jobs, its own or else those of the broker.
local function limits_of(p, group, max_jobs, max_bytes)
  local own = call('HMGET', group_key(p, group), 'max_jobs', 'max_bytes')
  return tonumber(own[1] or max_jobs), tonumber(own[2] or max_bytes)
end
