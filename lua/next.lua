-- next: hand out the first jobs, by priority and place, over all groups that may hand out.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] n          how many at most; fewer when they are large
-- ARGV[3] lease      first part of the tokens; the script numbers them
-- ARGV[4] lease_s    length of the leases, or '' for each job's timeout
-- ARGV[5] groups     names to choose from, or none for all
--
-- moves   queued -> running
-- reply   now, ms; for each job: id lease expires_at env_vars group_name deliveries and the rest of READ, nil if not set
-- refuses -
-- flags   allow-oom
local p, now, n, lease, lease_s = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local groups, ready = { unpack(ARGV, 5) }, KEYS[1] .. ':ready'
local LARGEST, bytes = 8388608, 0 -- a reply that has this many bytes of jobs takes no more of them
local READ = { 'group_name', 'deliveries', 'timeout', 'created_at', 'spec', 'priority', 'delay', 'max_retries',
  'retries_delay', 'retry_of' }

-- the group whose head is first, and the place at which another one's turn comes
local function first_group()
  local heads = {}
  if #groups == 0 then
    heads = call('ZRANGE', ready, 0, 1, 'WITHSCORES')
    return heads[1], heads[4]
  end
  local scores = call('ZMSCORE', ready, unpack(groups))
  for i = 1, #groups do
    if scores[i] then heads[#heads + 1] = { tonumber(scores[i]), groups[i] } end
  end
  table.sort(heads, function(a, b) return a[1] < b[1] end)
  return heads[1] and heads[1][2], heads[2] and heads[2][1]
end

-- the reply's row and the end of the lease; nil when the hash is gone, or what is left of it is no job
local function hand_out(id, place, env_vars)
  local job = call('HMGET', job_key(p, id), unpack(READ))
  if not (job[1] and job[5]) then return nil end
  n, bytes = n - 1, bytes + #job[5]
  local token, deliveries, ends = lease .. n, (job[2] or 0) + 1, now + (job[3] or TIMEOUT_S) * 1000
  local values = { 'status', 'running', 'deliveries', deliveries, 'started_at', now, 'lease', token, 'place', place }
  if lease_s ~= '' then
    values[11], values[12], values[13], values[14] = 'lease_s', lease_s, 'deadline', ends
    ends = math.min(ends, now + lease_s * 1000)
  end
  call('HSET', job_key(p, id), 'expires_at', ends, unpack(values))
  return { id, token, ends, env_vars, job[1], deliveries, unpack(job, 3, #READ) }, ends
end

local rows = { now }
while n > 0 and bytes < LARGEST do
  local group, turn = first_group()
  if not group then break end
  local most, queued = math.min(n, room(p, group)), set_key(p, group, 'queued')
  local found = call('ZRANGEBYSCORE', queued, '-inf', turn or '+inf', 'WITHSCORES', 'LIMIT', 0, most)
  local env_vars, ids, running, first_end = call('HGET', group_key(p, group), 'env_vars'), {}, {}, math.huge
  for i = 1, #found, 2 do
    if bytes >= LARGEST then break end
    ids[#ids + 1] = found[i]
    local reply, ends = hand_out(found[i], found[i + 1], env_vars)
    if reply then
      rows[#rows + 1] = reply
      running[#running + 1] = ends; running[#running + 1] = found[i]
      first_end = math.min(first_end, ends)
    end
  end
  many('ZREM', queued, ids)
  if #running > 0 then
    many('ZADD', set_key(p, group, 'running'), running)
    set_timer(p, 'running', group, first_end)
  end
  refresh_ready(p, group)
end

return rows
