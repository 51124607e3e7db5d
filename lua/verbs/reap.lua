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
-- with    deletion (record deadlines job lease requeue settling dependencies lanes fair_keys key_turns places promotion completion unique windows
--           automatic_retries history retry_policy dead_letters lost_leases late_jobs batches batch_timers due_jobs)
local p, now, limit = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2])
local due, left, late = KEYS[1] .. ':due', limit, nil
local step = { now = now, next_id = 3, counts = { queued = 0, requeued = 0, failed = 0, expired = 0, noted = 0 }, ends = {} }

local function seldom() late = late or load_due_jobs() return late end

-- Handles one timer. A lease or delay that ends at `now` has ended. Finished jobs are deleted when their retention ends.
local function reap_set(set, group)
  if set == 'rate' then -- the bucket has tokens again
    call('ZREM', due, 'rate:' .. group)
    return refresh_ready(p, group)
  end
  local retention_s = RETENTION_S[set] and (call('HGET', group_key(p, group), 'retention_' .. set) or RETENTION_S[set]) or 0
  local ids = call('ZRANGEBYSCORE', set_key(p, group, set), '-inf', now - retention_s * 1000, 'LIMIT', 0, left)
  if RETENTION_S[set] then
    ids = settled_of(p, ids)
    if ids[1] and call('EXISTS', set_key(p, group, 'windows')) == 1 then
      ids = seldom().without_windows(p, group, set, ids, retention_s, now)
    end
    delete_jobs(p, group, ids, set, now)
    step.counts.expired = step.counts.expired + #ids
  elseif ids[1] then
    seldom().handle(p, set, group, ids, step)
  end
  left = left - #ids
  local head = call('ZRANGE', set_key(p, group, set), 0, 0, 'WITHSCORES')
  if head[2] then
    call('ZADD', due, head[2] + retention_s * 1000, set .. ':' .. group)
  else
    call('ZREM', due, set .. ':' .. group)
  end
end

-- After the clock went back, some token buckets were empty only in the future. This corrects them and makes their timers due. It
-- leaves half a second, because the reaper runs every half second and so much has passed already.
local ahead = call('ZRANGEBYSCORE', p .. ':rates', '(' .. digits(now + 1001), '+inf', 'LIMIT', 0, 1000)
for i = 1, #ahead do
  call('ZADD', p .. ':rates', now + 500, ahead[i])
  call('ZADD', due, 'XX', now, 'rate:' .. ahead[i])
end
local timers = call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, limit)
for i = 1, #timers do
  if left == 0 then break end
  reap_set(string.match(timers[i], '^(%a+):(.*)$'))
end

local n_logs, n_ends, timer = call('ZCARD', p .. ':discarded'), call('ZCARD', p .. ':settle'), call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or -1
local fires_at = tonumber(call('ZRANGE', p .. ':schedules', 0, 0, 'WITHSCORES')[2] or -1)
local counts, ends = step.counts, late and late.with_copies(step.ends) or step.ends
return { counts.queued, counts.requeued, counts.failed, counts.expired, n_logs, n_ends, now, tonumber(timer), fires_at, unpack(ends) }
