-- glance: read a page of groups by creation, or some groups, at low cost: counts, the oldest job that waits, settings, statistics.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] n          groups at most
-- ARGV[3] score      of the last group of the page before, or ''
-- ARGV[4] after      name of the last group of the page before, or ''
-- ARGV[5] names      of groups to read instead of a page; then the reply has all minutes of the last hour
--
-- moves   -
-- reply   now, ms; when consumers last asked for jobs of all groups, ms, or nil; 1 if it is known for which groups they asked, or 0;
--           then for each group: name, created_at, the six counts, since when its oldest queued job is due, ms, or nil, when consumers
--           last asked for its jobs, ms, or nil; values of SETTINGS; if it has statistics, slots of the last five minutes (or all
--           fields of the minutes), and slots of this half hour and the two before
-- refuses -
-- flags   no-writes
-- with    record paging
local p, now, n, score, after, first = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4], 5
local SETTINGS = { 'paused', 'max_concurrency', 'rate_limit', 'paused_at', 'paused_by', 'note' }
local STATUSES = { 'delayed', 'queued', 'running', 'succeeded', 'failed', 'cancelled' }
local minute, half, asked, is_whole = math.floor(now / 60000), math.floor(now / 1800000), p .. ':asked', #ARGV >= first

-- Since when the first job of a priority is due. Ranks of a priority are below the next multiple of STEP.
local function first_due(queued, priority)
  local low = (2 - priority) * STEP
  local id = call('ZRANGEBYSCORE', queued, digits(low), '(' .. digits(low + STEP), 'LIMIT', 0, 1)[1]
  local record = id and call('HGET', jobs_key(p), id)
  local _, created_at = parse_record(record or '')
  return created_at and created_at + (setting_in(record, 'delay') or 0) * 1000
end

local function oldest_due(queued)
  local oldest
  for priority = 0, 2 do
    local due = first_due(queued, priority)
    if due and due < (oldest or math.huge) then oldest = due end
  end
  return oldest and digits(oldest) or false
end

local function last_fields(stamp, number, size)
  local fields = {}
  for i = 1, number do fields[i] = (stamp - i + 1) % size end
  return unpack(fields)
end

-- Adds the counts of jobs to a row, and since when the oldest queued one is due. A group without jobs costs one command.
local function add_jobs(row, name)
  local has_jobs = call('EXISTS', set_key(p, name, 'jobs')) == 1
  for i = 1, #STATUSES do row[#row + 1] = has_jobs and call('ZCARD', set_key(p, name, STATUSES[i])) or 0 end
  row[#row + 1] = row[4] > 0 and oldest_due(set_key(p, name, 'queued')) -- row[4]: the number of queued jobs
end

local function add_slots(row, name)
  local minutes = set_key(p, name, 'minutes')
  row[#row + 1] = is_whole and call('HVALS', minutes) or call('HMGET', minutes, last_fields(minute, 5, 60))
  row[#row + 1] = call('HMGET', set_key(p, name, 'halves'), last_fields(half, 3, 48))
end

local function row_of(name, created_at)
  local row = { name, created_at }
  add_jobs(row, name)
  row[#row + 1] = call('ZSCORE', asked, name)
  row[#row + 1] = call('HMGET', group_key(p, name), unpack(SETTINGS))
  if call('ZSCORE', p .. ':counted', name) then add_slots(row, name) end
  return row
end

local reply = { now, call('ZSCORE', asked, '*'), call('EXISTS', asked) }
if is_whole then
  for i = first, #ARGV do
    local created_at = call('ZSCORE', p .. ':groups', ARGV[i])
    if created_at then reply[#reply + 1] = row_of(ARGV[i], created_at) end
  end
else
  local begin = score == '' and 0 or position(p .. ':groups', score, after, true)
  local names = call('ZRANGE', p .. ':groups', begin, begin + n - 1, 'WITHSCORES')
  for i = 1, #names, 2 do reply[#reply + 1] = row_of(names[i], names[i + 1]) end
end
return reply
