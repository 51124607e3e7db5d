-- next_fair: dispatch jobs of the groups that may dispatch, in turns: `weight` jobs of a group, then of the one behind it.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] n          jobs at most; fewer if they are large, or of more than 100 groups
-- ARGV[3] lease      first part of the tokens, a word; the rest is '-' and the rank of the job
-- ARGV[4] lease_s    length of the leases, or '' for each job's timeout
-- ARGV[5] grace_ms   how much longer than a job's timeout a lease of lease_s may last, ms
-- ARGV[6] broker     the sender, if clients wait: it is notified of new jobs if there are none now; or ''
-- ARGV[7] names      of the groups to select from; none for all
--
-- moves   queued -> running
-- reply   now, ms; for each sequence of jobs of one group: name, env_vars or nil, and for each job: id rank record deliveries
-- refuses -
-- flags   allow-oom
-- with    record group_settings rate_limit lease_limit dispatch long_pollers queue_merge selection turns selected_turns
local p, now, n, lease, lease_s = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local grace_ms, broker, names, reply = tonumber(ARGV[5]), ARGV[6], { unpack(ARGV, 7) }, { now }
local batch, ring = new_batch(p, now, lease, lease_s, grace_ms), new_ring(p)
local groups_left = 100 -- one call opens no more queues than this

-- Removes dispatched jobs from the queues. A group with another job, and room for it, stays in `ready`.
local function write_queues(groups)
  local still_ready, not_ready = {}, {}
  write_running(p, batch, groups)
  if ring.is_fair then write_turns(ring, groups) end
  for i = 1, #groups do
    local group = groups[i]
    if group.n_selected > 0 then call('ZREMRANGEBYRANK', set_key(p, group.name, 'queued'), 0, group.n_selected - 1) end
    if group.rank then still_ready[#still_ready + 1] = group.rank; still_ready[#still_ready + 1] = group.name end
    if not group.rank then not_ready[#not_ready + 1] = group.name end
  end
  call_many('ZADD', p .. ':ready', still_ready)
  call_many('ZREM', p .. ':ready', not_ready)
  for i = 1, #groups do
    if groups[i].rate or groups[i].has_missing_job or not ring.is_fair then refresh_ready(p, groups[i].name) end
  end
end

repeat
  local max_groups = math.min(n, groups_left)
  local ready, groups, selected, spans = ready_groups(p, names, max_groups), {}, empty_selection(), {}
  local ready_names, merge, group = names_of(ready), new_merge(ready), nil
  local are_set, noted = any_set(p, ready_names), noted_turns(p, ready_names)
  while #selected.ids < n do
    if next_rank(merge) < merge.rank then
      group = heap_pop(merge.heap)
    elseif merge.rank < math.huge and #groups < max_groups then -- `ready` was not read further: the order is unknown
      local score = merge.rank
      group = open_next_queue(merge, ready[3] and 2 or n + 1)
      groups[#groups + 1] = group
      if are_set then read_settings(p, group, now, true) end
      read_turns(group, score, noted[#groups])
    else
      break
    end
    take_turn(p, ring, selected, n, group, spans)
    if group.rank then heap_push(merge.heap, group) end
  end
  n = n - dispatch_selected(p, batch, selected, reply)
  if selected.stop then undo_turns(selected, spans) end
  write_queues(groups)
  groups_left = groups_left - #groups
until n == 0 or batch.bytes >= REPLY_BYTES or #groups == 0
if #reply == 1 and broker ~= '' then add_poller(p, 'pollers', broker, now) end

return reply
