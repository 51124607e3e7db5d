-- For scripts that dispatch jobs: the token bucket of a group with a rate_limit, `jobs`, or `jobs/per/burst`: per s that many
-- jobs, and `burst` at once; without per and burst the jobs of one second. P:rates has the time when the bucket was empty, and a
-- second. If it is empty, the timer `rate:<group>` keeps the group out of `ready`; reap.lua removes the timer when the jobs of a
-- tenth of a second, and at least one, are available.

-- How many ms a job takes, how many jobs the bucket has room for, and when it was empty, as if nothing was taken since. If the
-- clock went back, it is empty now.
local function bucket_of(p, group, rate, now)
  local jobs, per, burst = string.match(rate, '^(%d+)/?(%d*)/?(%d*)$')
  local each_ms = 1000 * (tonumber(per) or 1) / jobs
  burst = tonumber(burst) or tonumber(jobs)
  local empty_at = (tonumber(call('ZSCORE', p .. ':rates', group) or nil) or 0) - 1000
  return each_ms, burst, math.max(math.min(empty_at, now), now - burst * each_ms)
end

-- How many jobs the bucket allows now.
local function allowance(p, group, rate, now)
  local each_ms, _, empty_at = bucket_of(p, group, rate, now)
  return math.floor((now - empty_at) / each_ms + 0.001)
end

-- Takes n jobs from the bucket, of those that it allows. Returns whether the group is held by the timer now.
local function spend(p, group, rate, n, now)
  local each_ms, burst, empty_at = bucket_of(p, group, rate, now)
  local is_last = n >= math.floor((now - empty_at) / each_ms + 0.001)
  local text = string.format('%.3f', empty_at + n * each_ms + 1000)
  if n > 0 then call('ZADD', p .. ':rates', text, group) end
  empty_at = text - 1000 -- as it was rounded
  if not is_last and (now - empty_at) / each_ms >= 0.999 then return false end
  local n_next = math.max(1, math.min(burst, math.floor(100 / each_ms + 0.001)))
  set_timer(p, 'rate', group, math.ceil(empty_at + n_next * each_ms))
  return true
end
