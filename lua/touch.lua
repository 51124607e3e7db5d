-- touch: give the deliveries that hold jobs another lease.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] runs       of jobs of a group: group, how many; then for each job: id lease; lease is the token, or '' (an old
--                    client)
--
-- moves   running -> running
-- reply   for each job: the new end of its lease, ms; or its refusal
-- refuses NOT_FOUND WRONG_STATE LEASE_LOST
-- flags   allow-oom
-- with    _jobs _holding
local p, now, at = KEYS[1], clock(ARGV[1]), 2

-- the new end of a lease, or the refusal; `run` is the text of a running job of the group
local function touch(group, id, lease, run)
  local job = {}
  if run then read_run(job, run) end
  if not run or job.lease ~= lease or not job.lease_s then
    job = find(p, group, id)
    local refused = refusal(p, group, id, job, lease)
    if refused then return refused end
  end
  return lease_end(job, now)
end

local items = {}
while at < #ARGV do
  local group, n = ARGV[at], ARGV[at + 1]
  local ids, running, first_end = {}, {}, math.huge
  for i = 1, math.min(n, 1000) do ids[i] = ARGV[at + 2 * i] end
  local scores = call('ZMSCORE', set_key(p, group, 'running'), unpack(ids))
  local runs = call('HMGET', runs_key(p), unpack(ids))
  at = at + 2
  for i = 1, n do
    local ends = touch(group, ARGV[at], ARGV[at + 1], scores[i] and runs[i])
    if type(ends) == 'number' then
      running[#running + 1] = ends; running[#running + 1] = ARGV[at]
      first_end = math.min(first_end, ends)
    end
    items[#items + 1] = ends
    at = at + 2
  end
  if #running > 0 then
    many('ZADD', set_key(p, group, 'running'), running)
    set_timer(p, 'running', group, first_end)
  end
end
return replies(items)
