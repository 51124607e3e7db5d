-- next: hand out the first jobs, by priority and place, over all groups that may hand out.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] n          how many at most; fewer when they are large, or of very many groups
-- ARGV[3] lease      first part of the tokens: a job's is this, '-' and its place
-- ARGV[4] lease_s    length of the leases, or '' for each job's timeout
-- ARGV[5] groups     names to choose from, or none for all
--
-- moves   queued -> running
-- reply   now, ms; for each group in turn: name, env_vars, and for each job: READ (nil if not set) id place deliveries
-- refuses -
-- flags   allow-oom
-- with    _rates _handing
local p, now, n, lease, lease_s = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local groups, ready = { unpack(ARGV, 5) }, KEYS[1] .. ':ready'
-- a reply with this many bytes of jobs takes no more of them, nor one in which groups took this many turns
local LARGEST, MOST_TURNS, bytes, started_at = 8388608, 100, 0, whole(now)

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

local reply, turns = { now }, MOST_TURNS
while n > 0 and bytes < LARGEST and turns > 0 do
  local group, turn = first_group()
  if not group then break end
  local queued, most, env_vars, rate = set_key(p, group, 'queued'), room(p, group)
  if rate then most = math.min(most, allowance(p, group, rate, now)) end
  local found = call('ZRANGEBYSCORE', queued, '-inf', turn or '+inf', 'WITHSCORES', 'LIMIT', 0, math.min(n, most))
  local jobs, ids, running, first_end = { group, env_vars }, {}, {}, math.huge
  for i = 1, #found, 2 do
    if bytes >= LARGEST then break end
    ids[#ids + 1] = found[i]
    local job = read(p, found[i])
    if job then
      local ends = hand_out(p, job, found[i], found[i + 1], now, started_at, lease, lease_s)
      bytes = bytes + #job[1]
      jobs[#jobs + 1] = job
      running[#running + 1] = ends; running[#running + 1] = found[i]
      first_end = math.min(first_end, ends)
    end
  end
  if #running > 0 then
    reply[#reply + 1] = jobs
    n = n - #running / 2
  end
  file_running(p, group, ids, running, first_end, most, rate, now)
  turns = turns - 1
end
if #reply == 1 then note_waiting(p) end

return reply
