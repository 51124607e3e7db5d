-- next: hand out the first jobs, by priority and place, over all groups that may hand out.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] n          how many at most; fewer when they are large, or of very many groups
-- ARGV[3] lease      first part of the tokens, a word: a job's is this, '-' and its place
-- ARGV[4] lease_s    length of the leases, or '' for each job's timeout
-- ARGV[5] grace_ms   how much longer than a job's timeout a lease of lease_s may last, ms
-- ARGV[6] broker     for which clients wait: it is told of jobs to come, when there are none; or ''
-- ARGV[7] names      of the groups to choose from, or none for all
--
-- moves   queued -> running
-- reply   now, ms; for each turn of a group: name, env_vars or nil, and for each job: id place text deliveries
-- refuses -
-- flags   allow-oom
-- with    record group_settings rate_limit dispatch long_pollers queue_merge selection
local p, now, n, lease, lease_s = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local grace_ms, broker, names, reply = tonumber(ARGV[5]), ARGV[6], { unpack(ARGV, 7) }, { now }
local handing = new_batch(now, lease, lease_s, grace_ms)
local groups_left = 100 -- no more groups than these have their turns in one call

-- what was seen of the queues is out of them; a group stays in `ready` while it has another job, and room for it
local function write_queues(groups)
  local stay, gone = {}, {}
  write_running(p, handing, groups)
  for i = 1, #groups do
    local group = groups[i]
    if group.seen > 0 then call('ZREMRANGEBYRANK', set_key(p, group.name, 'queued'), 0, group.seen - 1) end
    if group.rate or group.is_short then
      refresh_ready(p, group.name)
    elseif group.place then
      stay[#stay + 1] = group.place; stay[#stay + 1] = group.name
    else
      gone[#gone + 1] = group.name
    end
  end
  many('ZADD', p .. ':ready', stay)
  many('ZREM', p .. ':ready', gone)
end

repeat
  local most = math.min(n, groups_left)
  local heads, groups, chosen = ready_groups(p, names, most), {}, none_chosen()
  local turns, are_set, group = new_merge(heads), any_set(p, names_of(heads)), nil
  while #chosen.ids < n do
    if next_turn(turns) < turns.place then
      group = heap_pop(turns.back)
    elseif turns.place < math.huge and #groups < most then -- of groups beyond `most` not all were read: their order is not known
      group = open_next_queue(turns, heads[3] and 2 or n + 1)
      groups[#groups + 1] = group
      if are_set then open(p, group, now) end
    else
      break
    end
    select_jobs(p, chosen, n, group, next_turn(turns))
    if group.place then heap_push(turns.back, group) end
  end
  n = n - dispatch_selected(p, handing, chosen, reply)
  write_queues(groups)
  groups_left = groups_left - #groups
until n == 0 or handing.bytes >= LARGEST or #groups == 0
if #reply == 1 and broker ~= '' then note_poller(p, 'pollers', broker, now) end

return reply
