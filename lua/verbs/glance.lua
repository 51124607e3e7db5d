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
--           then for each group: name, created_at; for one that has any of the following: when consumers last asked for its jobs, ms,
--           or nil; the values of SETTINGS, or nil; the six counts, and if a job is queued since when the oldest is due, ms, or nil
--           for no jobs, and how many wait for jobs, for a key, for the rate limit, and of how many keys jobs wait; if it has statistics, slots of the last five minutes (or all fields), and of this half hour and the two before
-- refuses -
-- flags   no-writes
-- with    record paging existing queue_age waiting_counts
local p, now, n, score, after, first = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4], 5
local SETTINGS = { 'paused', 'max_concurrency', 'rate_limit', 'paused_at', 'paused_by', 'note', 'key_concurrency' }
local STATUSES = { 'delayed', 'queued', 'running', 'succeeded', 'failed', 'cancelled' }
local minute, half, asked, is_whole = math.floor(now / 60000), math.floor(now / 1800000), p .. ':asked', #ARGV >= first

local function last_fields(stamp, number, size)
  local fields = {}
  for i = 1, number do fields[i] = (stamp - i + 1) % size end
  return unpack(fields)
end

local function jobs_of(name, settings)
  local jobs = {}
  for i = 1, #STATUSES do jobs[i] = call('ZCARD', set_key(p, name, STATUSES[i])) end
  local waiting = waiting_counts(p, name, jobs[1], jobs[2], settings and settings[3], settings and settings[7])
  if jobs[2] > 0 or waiting then jobs[7] = jobs[2] > 0 and oldest_due(p, name) or false end
  for i = 1, waiting and #waiting or 0 do jobs[7 + i] = waiting[i] end
  return jobs
end

local function add_slots(row, name)
  local minutes = set_key(p, name, 'minutes')
  row[#row + 1] = is_whole and call('HVALS', minutes) or call('HMGET', minutes, last_fields(minute, 5, 60))
  row[#row + 1] = call('HMGET', set_key(p, name, 'halves'), last_fields(half, 3, 48))
end

-- The groups with the times of their creation, read together: most of many groups have nothing but these.
local function rows_of(names, created_at)
  local job_sets, groups, rows = {}, {}, {}
  if #names == 0 then return rows end
  for i = 1, #names do job_sets[i], groups[i] = set_key(p, names[i], 'jobs'), group_key(p, names[i]) end
  local have_jobs, are_set = existing(job_sets), existing(groups)
  local asked_at, counted = call('ZMSCORE', asked, unpack(names)), call('ZMSCORE', p .. ':counted', unpack(names))
  for i = 1, #names do
    rows[i] = { names[i], created_at[i] }
    if asked_at[i] or are_set[i] or have_jobs[i] or counted[i] then
      rows[i][3] = asked_at[i]
      rows[i][4] = are_set[i] and call('HMGET', groups[i], unpack(SETTINGS)) or false
      rows[i][5] = have_jobs[i] and jobs_of(names[i], rows[i][4]) or false
      if counted[i] then add_slots(rows[i], names[i]) end
    end
  end
  return rows
end

-- The names of the groups to read, and when they were created.
local function chosen()
  local names, created_at = {}, {}
  if is_whole then
    local named = { unpack(ARGV, first) }
    local scores = call('ZMSCORE', p .. ':groups', unpack(named))
    for i = 1, #named do
      if scores[i] then names[#names + 1], created_at[#names + 1] = named[i], scores[i] end
    end
    return names, created_at
  end
  local begin = score == '' and 0 or position(p .. ':groups', score, after, true)
  local page = call('ZRANGE', p .. ':groups', begin, begin + n - 1, 'WITHSCORES')
  for i = 1, #page, 2 do names[#names + 1], created_at[#names + 1] = page[i], page[i + 1] end
  return names, created_at
end

return { now, call('ZSCORE', asked, '*'), call('EXISTS', asked), unpack(rows_of(chosen())) }
