-- touch: give the deliveries that hold jobs another lease.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] jobs       for each: group id lease; lease is the token, or '' (an old client)
--
-- moves   running -> running
-- reply   for each job: id and the new end of the lease, ms; or its refusal
-- refuses NOT_FOUND WRONG_STATE LEASE_LOST
-- flags   allow-oom
-- with    _holding
local p, now, first = KEYS[1], clock(ARGV[1]), 2

local function touch(group, id, lease)
  local job = find(p, group, id, HELD)
  local refused = refusal(p, group, id, job, lease)
  if refused then return refused end

  local ends = lease_end(job, now)
  call('HSET', job_key(p, id), 'expires_at', ends)
  call('ZADD', set_key(p, group, 'running'), ends, id)
  set_timer(p, 'running', group, ends)

  return { id, ends }
end

local items = {}
for at = first, #ARGV, 3 do items[#items + 1] = touch(ARGV[at], ARGV[at + 1], ARGV[at + 2]) end
return replies(items)
