-- check: hold what is kept of some jobs, or of one group, against itself; with repair, mend it. The sets are the truth.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] repair     'repair', or ''
-- ARGV[3] group      name; '' for ids that `executions` has, or that have a hash of their own
-- ARGV[4] ids        of jobs of the group; none to check the group's heads and timers
--
-- moves   -
-- reply   for each finding: id or '', what is wrong
-- refuses -
-- flags   allow-oom
-- with    record job requeue consistency
local p, now, repair, group, first = KEYS[1], clock(ARGV[1]), ARGV[2] == 'repair', ARGV[3], 4
local findings = {}

local function found(id, what, mend)
  findings[#findings + 1] = { id, what }
  if repair then mend() end
end

-- when a job that waits for its first delivery is due
local function due_at(job) return job.created_at + (job.delay or 0) * 1000 end

-- what sets the job should be in, by all else that is known of it; the first of two that cannot be told apart
local function statuses(id, job)
  local status = status_in(call('HGET', executions_key(p), id))
  if status then return { status } end
  return (job.place or due_at(job) > now) and { 'delayed', 'queued' } or { 'queued', 'delayed' }
end

-- back into the set of its status; a running one, whose lease is not known, is queued
local function place_again(id, job, status)
  if status == 'running' or status == 'queued' then
    local place = rank_in_token(job.lease) or new_place(p, job.priority)
    return requeue(p, group, id, place, job.deliveries, 0, now)
  end
  call('ZADD', set_key(p, group, status), job.completed_at or job.place and now or due_at(job), id)
end

-- the text of its run as it should be in this set
local function mend_run(id, job, status)
  local words = { job.lease or '*', job.deliveries, job.started_at and whole(job.started_at) or '-', status, whole(now) }
  if status == 'running' then
    words = { (job.lease or '') .. '-' .. whole(new_place(p, job.priority)), math.max(1, job.deliveries), whole(now) }
  elseif status == 'queued' or status == 'delayed' then
    words = { job.deliveries }
  end
  call('HSET', executions_key(p), id, table.concat(words, ' '))
end

local function check_sets(id, job)
  local scores, count, expected, status = {}, 0, statuses(id, job), nil
  for _, set in ipairs(STATUSES) do
    scores[set] = call('ZSCORE', set_key(p, group, set), id) or nil
    if scores[set] then count, status = count + 1, set end
  end
  for i = #expected, 1, -1 do status = scores[expected[i]] and expected[i] or status end
  if count == 0 then
    found(id, 'is in no set; its status is ' .. expected[1], function() place_again(id, job, expected[1]) end)
  elseif count > 1 then
    found(id, 'is in ' .. count .. ' sets; its status is ' .. expected[1], function()
      for set in pairs(scores) do if set ~= status then call('ZREM', set_key(p, group, set), id) end end
    end)
  end
  if count > 0 and status ~= expected[1] and status ~= expected[2] then
    found(id, 'is in ' .. status .. '; its status is ' .. expected[1], function() mend_run(id, job, status) end)
  elseif status == 'running' and not rank_in_token(job.lease) then
    found(id, 'is running, but has no lease with a place to go back to', function() mend_run(id, job, status) end)
  end
end

local function check_index(id, job)
  if call('ZSCORE', set_key(p, group, 'jobs'), id) ~= job.created_at then
    found(id, 'is not in jobs by its creation', function() call('ZADD', set_key(p, group, 'jobs'), job.created_at, id) end)
  end
end

local function check_timer(set)
  local kept_s = RETENTION_S[set] and (call('HGET', group_key(p, group), 'retention_' .. set) or RETENTION_S[set]) or 0
  local head = call('ZRANGE', set_key(p, group, set), 0, 0, 'WITHSCORES')[2]
  local timer = call('ZSCORE', p .. ':due', set .. ':' .. group)
  -- one that is past already is looked at anyway, so it is never late
  if head and (not timer or tonumber(timer) > math.max(now, head + kept_s * 1000)) then
    found('', 'has no timer, or a late one, for ' .. set, function() set_timer(p, set, group, head + kept_s * 1000) end)
  end
end

local function check_group()
  local head = call('ZRANGE', set_key(p, group, 'queued'), 0, 0, 'WITHSCORES')[2]
  local score = call('ZSCORE', p .. ':ready', group) or nil
  local wanted = head and room(p, group) > 0 and head or nil
  if score ~= wanted then
    found('', 'is not in ready as its queue is', function() refresh_ready(p, group) end)
  end
  if not call('ZSCORE', p .. ':groups', group) then
    found('', 'is not in groups', function() call('ZADD', p .. ':groups', whole(now), group) end)
  end
  if call('ZSCORE', p .. ':rates', group) and not call('HGET', group_key(p, group), 'rate_limit') then
    found('', 'is in rates, but has no rate_limit', function() call('ZREM', p .. ':rates', group) end)
  end
  local sum, bytes = recount(p, group), call('ZSCORE', p .. ':bytes', group)
  if sum and (sum > 0 and whole(sum)) ~= bytes then
    local what = 'has ' .. (bytes or 0) .. ' bytes in its sum, and its unfinished jobs ' .. whole(sum)
    found('', what, function() set_sum(p, group, sum) end)
  end
  for _, set in ipairs({ 'delayed', 'running', 'succeeded', 'failed', 'cancelled' }) do check_timer(set) end
end

if #ARGV < first then check_group() end
for at = first, #ARGV do
  local id = ARGV[at]
  local job = find(p, group, id, 'place')
  if not job then
    check_rest(p, now, group, id, found)
  else
    check_sets(id, job)
    check_index(id, job)
  end
end
return findings
