-- next: hand out the first jobs, by priority and place, over all groups that may hand out.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] n          how many at most; fewer when they are large, or of very many groups
-- ARGV[3] lease      first part of the tokens, a word: a job's is this, '-' and its place
-- ARGV[4] lease_s    length of the leases, or '' for each job's timeout
-- ARGV[5] names      of the groups to choose from, or none for all
--
-- moves   queued -> running
-- reply   now, ms; for each turn of a group: name, env_vars, and for each job: id place READ deliveries (nil if not set)
-- refuses -
-- flags   allow-oom
-- with    _settings _rates _handing _turns
local p, now, n, lease, lease_s = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local names, reply, bytes = { unpack(ARGV, 5) }, { now }, 0
local groups_left = 100 -- no more groups than these have their turns in one call

-- hand out a group's jobs until it is another one's turn
local function take(group, turn)
  local told, id, place = { group.name, group.env_vars or false }, head(p, group)
  while id and n > 0 and group.room > 0 and bytes < LARGEST and tonumber(place) <= turn do
    local job = read(p .. ':job:' .. id)
    if job then
      hand_out(group, told, id, place, job, now, lease_s)
      n, bytes = n - 1, bytes + #job[SPEC]
    end
    group.seen, group.at = group.seen + 1, group.at + 2
    id, place = head(p, group)
  end
  if #told > 2 then reply[#reply + 1] = told end
  group.place = group.room > 0 and tonumber(place)
end

-- what was seen of the queues is out of them; a group stays in `ready` while it has another job, and room for it
local function file(groups)
  local stay, leave = {}, {}
  file_running(p, groups, now)
  for i = 1, #groups do
    local group = groups[i]
    if group.seen > 0 then call('ZREMRANGEBYRANK', set_key(p, group.name, 'queued'), 0, group.seen - 1) end
    if group.rate then
      refresh_ready(p, group.name)
    elseif group.place then
      stay[#stay + 1] = group.place; stay[#stay + 1] = group.name
    else
      leave[#leave + 1] = group.name
    end
  end
  many('ZADD', p .. ':ready', stay)
  many('ZREM', p .. ':ready', leave)
end

repeat
  local most = math.min(n, groups_left)
  local heads, groups = ready_groups(p, names, most), {}
  local are_set = any_set(p, names_of(heads))
  while n > 0 and bytes < LARGEST and heads[1] do
    local group = heads[1]
    if not group.running then -- its first turn; of groups beyond `most` not all were read, so their order is not known
      if #groups == most then break end
      groups[#groups + 1] = group
      open(p, group, are_set, now)
      read_queue(group, heads[2] and 2 or n + 1)
    end
    take(group, next_turn(heads))
    pass_turn(heads)
  end
  file(groups)
  groups_left = groups_left - #groups
until n == 0 or #groups == 0
note_runs(p, now, lease, lease_s, reply)
if #reply == 1 then note_waiting(p) end

return reply
