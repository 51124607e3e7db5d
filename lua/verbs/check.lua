-- check: compare all keys of some jobs, or of one group, and repair them if asked; the sets count as right.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] repair     'repair', or ''
-- ARGV[3] group      name; '' for ids from `executions` or from P:job:<id>, of any group
-- ARGV[4] ids        of jobs of the group; none to check the group's entries in indexes, and its timers
--
-- moves   -
-- reply   for each finding: id or '', the problem, 1 when it is repaired now, else 0
-- refuses -
-- flags   allow-oom
-- with    record deadlines job requeue hooks settling dependencies inputs awaiting unique settings_check settings_promises consistency lanes
--           lane_promises promises batches batch_promises
local p, now, repair, group, first = KEYS[1], clock(ARGV[1]), ARGV[2] == 'repair', ARGV[3], 4
local findings = {}

local function add_finding(id, problem, fix)
  findings[#findings + 1] = { id, problem, repair and fix() ~= 0 and 1 or 0 }
end

-- When a job without a delivery is due, ms.
local function due_at(job) return job.due or job.created_at + (job.delay or 0) * 1000 end

-- The statuses that agree with the other fields of the job, the likelier one first.
local function expected_statuses(id, job)
  local status = status_in(call('HGET', executions_key(p), id))
  if status then return { status } end
  return (job.rank or job.needs or job.attempts or due_at(job) > now) and { 'delayed', 'queued' } or { 'queued', 'delayed' }
end

-- Adds a job to the set of its status; a running one is queued, because the end of its lease is unknown.
local function restore(id, job, status)
  if status == 'running' or status == 'queued' then
    local rank = rank_in_token(job.lease) or new_rank(p, group, job.priority)
    return requeue(p, group, id, rank, job.deliveries, 0, now)
  end
  if job.needs and status == 'delayed' then return hold(p, group, id) end
  return call('ZADD', set_key(p, group, status), job.completed_at or (job.rank or job.attempts) and now or due_at(job), id)
end

-- Writes an execution that agrees with the set that has the job.
local function repair_execution(id, job, status)
  local words = { job.lease or '*', job.deliveries, job.started_at and digits(job.started_at) or '-', status, digits(now) }
  if status == 'running' then
    words = { (job.lease or '') .. '-' .. digits(new_rank(p, group, job.priority)), math.max(1, job.deliveries), digits(now) }
  elseif status == 'queued' or status == 'delayed' then
    words = { job.deliveries }
  end
  call('HSET', executions_key(p), id, table.concat(words, ' '))
end

local function check_sets(id, job)
  local scores, count, expected, status = {}, 0, expected_statuses(id, job), nil
  for _, set in ipairs(STATUSES) do
    scores[set] = call('ZSCORE', set_key(p, group, set), id) or nil
    if scores[set] then count, status = count + 1, set end
  end
  for i = #expected, 1, -1 do status = scores[expected[i]] and expected[i] or status end
  if count == 0 then
    add_finding(id, 'is in no set; its status is ' .. expected[1], function() restore(id, job, expected[1]) end)
  elseif count > 1 then
    add_finding(id, 'is in ' .. count .. ' sets; its status is ' .. expected[1], function()
      for set in pairs(scores) do if set ~= status then call('ZREM', set_key(p, group, set), id) end end
    end)
  end
  if count > 0 and status ~= expected[1] and status ~= expected[2] then
    add_finding(id, 'is in ' .. status .. '; its status is ' .. expected[1], function() repair_execution(id, job, status) end)
  elseif status == 'running' and not rank_in_token(job.lease) then
    add_finding(id, 'is running, but its lease token has no rank', function() repair_execution(id, job, status) end)
  end
end

local function check_index(id, job)
  if call('ZSCORE', set_key(p, group, 'jobs'), id) == job.created_at then return end
  add_finding(id, 'is not in jobs by its creation', function() call('ZADD', set_key(p, group, 'jobs'), job.created_at, id) end)
end

local function check_deadline(id, job)
  local deliveries = job.status == 'running' and math.max(1, job.deliveries) or job.deliveries
  local at, score = not RETENTION_S[job.status] and deadline_of(job, deliveries), call('ZSCORE', set_key(p, group, 'expiring'), id)
  if (at and digits(at) or '') == (score and digits(score) or '') then return end
  local problem = at and 'is not in expiring by its next deadline' or 'is in expiring without a deadline'
  add_finding(id, problem, function()
    if at then set_deadline(p, group, id, job, deliveries) else call('ZREM', set_key(p, group, 'expiring'), id) end
  end)
end

local function check_timer(set)
  local retention_s = RETENTION_S[set] and (call('HGET', group_key(p, group), 'retention_' .. set) or RETENTION_S[set]) or 0
  local head = call('ZRANGE', set_key(p, group, set), 0, 0, 'WITHSCORES')[2]
  local timer = call('ZSCORE', p .. ':due', set .. ':' .. group)
  -- A timer in the past is not late: the next reap handles it.
  if head and tonumber(head) < HELD and (not timer or tonumber(timer) > math.max(now, head + retention_s * 1000)) then
    local problem = 'has no timer, or a late one, for ' .. set
    add_finding('', problem, function() set_timer(p, set, group, head + retention_s * 1000) end)
  end
end

local function check_group()
  local head = call('ZRANGE', set_key(p, group, 'queued'), 0, 0, 'WITHSCORES')[2]
  local score = call('ZSCORE', p .. ':ready', group) or nil
  local expected = head and room(p, group) > 0 and head or nil
  if score ~= expected and not is_in_turn(p, score, expected) then
    add_finding('', 'has a wrong or missing entry in ready', function() refresh_ready(p, group) end)
  end
  if not call('ZSCORE', p .. ':groups', group) then
    add_finding('', 'is not in groups', function() call('ZADD', p .. ':groups', digits(now), group) end)
  end
  if call('ZSCORE', p .. ':rates', group) and not call('HGET', group_key(p, group), 'rate_limit') then
    add_finding('', 'is in rates, but has no rate_limit', function() call('ZREM', p .. ':rates', group) end)
  end
  local sum, bytes = recount(p, group), call('ZSCORE', p .. ':bytes', group)
  if sum and (sum > 0 and digits(sum)) ~= bytes then
    local problem = 'has a sum of ' .. (bytes or 0) .. ' bytes; its unfinished jobs have ' .. digits(sum)
    add_finding('', problem, function() store_sum(p, group, sum) end)
  end
  check_settings(p, group, add_finding)
  for _, set in ipairs({ 'delayed', 'running', 'expiring', 'ending', 'windows', 'succeeded', 'failed', 'cancelled' }) do check_timer(set) end
end

if #ARGV < first then check_group() check_keys(p, group, add_finding) check_turns(p, group, add_finding) check_lanes(p, now, group, add_finding) check_batches(p, now, group, add_finding) end
for at = first, #ARGV do
  local id = ARGV[at]
  local job, before = find_job(p, group, id, 'rank', 'attempts', 'needs'), #findings
  if not job then
    check_leftovers(p, now, group, id, add_finding)
  else
    check_sets(id, job)
    check_index(id, job)
    check_deadline(id, job)
    if #findings == before then check_promises(p, now, group, id, job, add_finding) end
  end
end
return findings
