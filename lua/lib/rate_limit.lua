-- For scripts that dispatch jobs: the token bucket of a group with a rate_limit, `jobs`, or `jobs/per/burst`: `jobs` in `per` s,
-- and `burst` at once; without these two the jobs of one second. P:rates has the time when the bucket was empty, and a
-- second. If it is empty, the timer `rate:<group>` keeps the group out of `ready`; reap.lua removes the timer when the jobs of a
-- tenth of a second, and at least one, are available.

-- How many jobs the bucket allows now; and the bucket: how many ms a job takes, how many jobs it has room for, and when it was
-- empty, as if nothing was taken since. If the clock went back, it is empty now.
local function allowance(p, group, rate, now)
  local jobs, per, burst = string.match(rate, '^(%d+)/?(%d*)/?(%d*)$')
  local each_ms = 1000 * (tonumber(per) or 1) / jobs
  burst = tonumber(burst) or tonumber(jobs)
  local empty_at = (tonumber(call('ZSCORE', p .. ':rates', group) or nil) or -math.huge) - 1000
  empty_at = math.max(math.min(empty_at, now), now - burst * each_ms)
  return math.floor((now - empty_at) / each_ms + 0.001), each_ms, burst, empty_at
end

-- Takes n jobs, not more than the bucket allows. Returns whether the timer holds the group now.
local function spend(p, group, n, now, _, each_ms, burst, empty_at)
  if n > 0 then
    local text = string.format('%.3f', empty_at + n * each_ms + 1000)
    call('ZADD', p .. ':rates', text, group)
    empty_at = text - 1000 -- as it was rounded
  end
  if (now - empty_at) / each_ms >= 0.999 then return false end
  local n_next = math.max(1, math.min(burst, math.floor(100 / each_ms + 0.001)))
  set_timer(p, 'rate', group, math.ceil(empty_at + n_next * each_ms))
  return true
end
