-- reap: handle timers that are due: queue delayed jobs, end expired leases, delete expired jobs.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] limit      jobs to handle at most
-- ARGV[3] new_ids    as many as limit: ids for automatic retries and copies
--
-- moves   delayed -> queued, delayed -> failed, queued -> failed, running -> queued, running -> failed, running -> delayed,
--           succeeded -> -, failed -> -, cancelled -> -
-- reply   numbers of jobs queued, requeued, failed, deleted, of logs to delete, of ends to settle; now, ms; the next timer and the next
--           fire of a schedule, ms, or -1; for each group with lost leases, late jobs or new copies: group requeued failed retried late copies
-- refuses -
-- flags   allow-oom
-- with    record deadlines job lease requeue settling dependencies lanes fair_keys key_turns places promotion unsettled completion unique windows automatic_retries
--           rate_limit rate_changes history retry_policy dead_letters lost_leases late_jobs batches batch_timers
local p, now, limit, first_id = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), 3
local due, counts = KEYS[1] .. ':due', { queued = 0, requeued = 0, failed = 0, expired = 0, noted = 0 }
local left, n_ids, ends = limit, 0, {}

local function reap(set, group, id)
  if set == 'windows' or set == 'ending' then
    local settle_end = set == 'windows' and refresh_key or end_batch
    settle_end(p, group, id, now)
    return 'noted'
  end
  local job, new_id = find_job(p, group, id, 'rank', 'attempts', 'key'), ARGV[first_id + n_ids]
  if not job then
    call('ZREM', set_key(p, group, set), id)
    return 'expired'
  end
  if set == 'delayed' then
    queue_delayed(p, group, id, job.rank, job.priority, job.key)
    return 'queued'
  end
  if set == 'expiring' and not (job.status == 'running' and is_past_end(job, now)) then
    if not fail_late(p, group, id, job, new_id, now) then return 'noted' end
    n_ids = n_ids + 1
    count_end(ends, group, 'failed', 0, 1)
    return 'failed'
  end
  local outcome, is_retried = end_lease(p, group, id, job, job.attempts, new_id, now)
  if outcome == 'failed' then n_ids = n_ids + 1 end
  count_end(ends, group, outcome, is_retried and 1 or 0)
  return outcome
end

-- Handles one timer. A lease or delay that ends at `now` has ended. Finished jobs are deleted when their retention ends.
local function reap_set(set, group)
  if set == 'rate' then -- the bucket has tokens again
    call('ZREM', due, 'rate:' .. group)
    return refresh_ready(p, group)
  end
  local retention_s = RETENTION_S[set] and (call('HGET', group_key(p, group), 'retention_' .. set) or RETENTION_S[set]) or 0
  local ids = call('ZRANGEBYSCORE', set_key(p, group, set), '-inf', now - retention_s * 1000, 'LIMIT', 0, left)
  if RETENTION_S[set] then
    ids = without_windows(p, group, set, settled_of(p, ids), retention_s, now)
    delete_jobs(p, group, ids, set, now)
    counts.expired, left = counts.expired + #ids, left - #ids
  else
    local n_late, others = fail_unstarted(p, set, group, ids, now, ends)
    counts.failed, left = counts.failed + n_late, left - n_late
    for i = 1, #others do
      local outcome = reap(set, group, others[i])
      counts[outcome], left = counts[outcome] + 1, left - 1
    end
  end
  local head = call('ZRANGE', set_key(p, group, set), 0, 0, 'WITHSCORES')
  if head[2] then
    call('ZADD', due, head[2] + retention_s * 1000, set .. ':' .. group)
  else
    call('ZREM', due, set .. ':' .. group)
  end
  if not RETENTION_S[set] and #ids > 0 then refresh_ready(p, group) end
end

correct_future_buckets(p, now)
local timers = call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, limit)
for i = 1, #timers do
  if left == 0 then break end
  reap_set(string.match(timers[i], '^(%a+):(.*)$'))
end

local n_logs, n_ends, timer = call('ZCARD', p .. ':discarded'), call('ZCARD', p .. ':settle'), call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or -1
local fires_at = tonumber(call('ZRANGE', p .. ':schedules', 0, 0, 'WITHSCORES')[2] or -1)
return { counts.queued, counts.requeued, counts.failed, counts.expired, n_logs, n_ends, now, tonumber(timer), fires_at, unpack(with_copies(ends)) }
