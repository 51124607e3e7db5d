-- reap: do what is due: queue what waited, take back lost leases, forget what was kept long enough.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] limit      jobs handled at most
-- ARGV[3] new_ids    as many as limit: ids for the automatic retries
--
-- moves   delayed -> queued, running -> queued, running -> failed, succeeded -> -, failed -> -, cancelled -> -
-- reply   how many were queued, requeued, failed, expired; logs left to delete; now, ms; the next timer, ms, or -1
-- refuses -
-- flags   allow-oom
-- with    record job requeue completion rate_limit
local p, now, limit, first_id = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), 3
local due, done = KEYS[1] .. ':due', { queued = 0, requeued = 0, failed = 0, expired = 0 }
local left = limit

local function requeue_or_fail(group, id, job)
  local delivery_limit = call('HGET', group_key(p, group), 'delivery_limit') or DELIVERY_LIMIT
  local is_over = job.deadline and tonumber(job.deadline) <= now
  if is_over or job.deliveries >= tonumber(delivery_limit) then
    finish_without_report(p, group, id, 'running', 'failed', 'timeout', now)
    if job.max_retries then retry_failed(p, group, id, job, ARGV[first_id + left - 1], now) end
    return 'failed'
  end
  requeue(p, group, id, rank_in_token(job.lease) or new_place(p, job.priority), job.deliveries, 0, now)
  return 'requeued'
end

local function promote(group, id, job)
  local place = job.place or new_place(p, job.priority)
  call('ZREM', set_key(p, group, 'delayed'), id)
  call('ZADD', set_key(p, group, 'queued'), place, id)
  call('HDEL', job_key(p, id), 'place')
  notify_image_pollers(p, group)
  return 'queued'
end

local function reap(set, group, id)
  local job = find(p, group, id, 'place')
  if not job then
    call('ZREM', set_key(p, group, set), id)
    return 'expired'
  end
  return set == 'delayed' and promote(group, id, job) or requeue_or_fail(group, id, job)
end

-- for running jobs: a lease that ends now is over; for finished ones, that they were kept for the retention
local function reap_set(set, group)
  if set == 'rate' then -- the group may go on
    call('ZREM', due, 'rate:' .. group)
    return refresh_ready(p, group)
  end
  local kept_s = RETENTION_S[set] and (call('HGET', group_key(p, group), 'retention_' .. set) or RETENTION_S[set]) or 0
  local ids = call('ZRANGEBYSCORE', set_key(p, group, set), '-inf', now - kept_s * 1000, 'LIMIT', 0, left)
  if RETENTION_S[set] then
    delete_jobs(p, group, ids, set, now)
    done.expired, left = done.expired + #ids, left - #ids
  else
    for i = 1, #ids do
      local what = reap(set, group, ids[i])
      done[what], left = done[what] + 1, left - 1
    end
  end
  local head = call('ZRANGE', set_key(p, group, set), 0, 0, 'WITHSCORES')
  if head[2] then
    call('ZADD', due, head[2] + kept_s * 1000, set .. ':' .. group)
  else
    call('ZREM', due, set .. ':' .. group)
  end
  if not RETENTION_S[set] and #ids > 0 then refresh_ready(p, group) end
end

end_long_holds(p, now)
local timers = call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, limit)
for i = 1, #timers do
  if left == 0 then break end
  reap_set(string.match(timers[i], '^(%a+):(.*)$'))
end

local first = call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or '-1'
return { done.queued, done.requeued, done.failed, done.expired, call('ZCARD', p .. ':discarded'), now, tonumber(first) }
