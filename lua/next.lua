-- next: hand out the first jobs, by priority and place, over all groups that may hand out.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] n          how many at most
-- ARGV[3] lease      first part of the tokens; the script numbers them
-- ARGV[4] lease_s    length of the leases, or '' for each job's timeout
-- ARGV[5] groups     names to choose from, or none for all
--
-- moves   queued -> running
-- reply   for each job: id field value field value…, with the group's env_vars
-- refuses -
-- flags   allow-oom
-- with    _moves
local p, now, n, lease, lease_s = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local groups, ready = { unpack(ARGV, 5) }, KEYS[1] .. ':ready'

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
  return heads[1] and heads[1][2], heads[2] and whole(heads[2][1])
end

local function hand_out(group, id, env_vars)
  local job = find(p, group, id)
  if not job then return nil end
  job.lease_s = lease_s ~= '' and lease_s or nil
  local timeout_ms = (job.timeout or TIMEOUT_S) * 1000
  job.deadline = job.lease_s and whole(now + timeout_ms) or nil
  local ends = whole(lease_end(job, now))
  n = n - 1
  call('HSET', job_key(p, id), 'status', 'running', 'deliveries', (job.deliveries or 0) + 1, 'started_at', whole(now),
    'expires_at', ends, 'lease', lease .. n, 'handed_out_by', 'next')
  if job.lease_s then call('HSET', job_key(p, id), 'lease_s', job.lease_s, 'deadline', job.deadline) end
  local reply = row(p, id)
  if env_vars then reply[#reply + 1] = 'env_vars'; reply[#reply + 1] = env_vars end
  return reply, ends
end

local rows = {}
while n > 0 do
  local group, turn = first_group()
  if not group then break end
  local ids = call('ZRANGEBYSCORE', set_key(p, group, 'queued'), '-inf', turn or '+inf', 'LIMIT', 0, whole(math.min(n, room(p, group))))
  local env_vars, running, first_end = call('HGET', group_key(p, group), 'env_vars'), {}, math.huge
  for i = 1, #ids do
    local reply, ends = hand_out(group, ids[i], env_vars)
    if reply then
      rows[#rows + 1] = reply
      running[#running + 1] = ends; running[#running + 1] = ids[i]
      first_end = math.min(first_end, tonumber(ends))
    end
  end
  drop_all(set_key(p, group, 'queued'), ids)
  if #running > 0 then
    add_all(set_key(p, group, 'running'), running)
    set_timer(p, 'running', group, first_end)
  end
  refresh_ready(p, group)
end

return rows
