-- flow: read jobs that wait for each other, from some of them on.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] n          jobs to read at most; fewer when they are large
-- ARGV[2] most       dependants of one job to read at most
-- ARGV[3] known      ids of jobs that were read before, with spaces
-- ARGV[4] open       ids of jobs to read, with spaces
--
-- moves   -
-- reply   ids that are still to be read, with spaces; then for each job that was read: its id, and unless it is gone: group, status,
--           the beginning of its spec, reason, needs, ids in `after`, leader, its automatic retry, how many more
--           dependants it has, its last retry; each of the last seven or ''
-- refuses -
-- flags   no-writes
-- with    record job
local p, n, most, known, open = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local BEGINNING, MOST_BYTES = 2048, 524288
local is_known, ids, next_id, rows, bytes = {}, {}, 1, { '' }, 0

local function add(id)
  if not is_known[id] then is_known[id] = true; ids[#ids + 1] = id end
end
local function add_all(text) for id in string.gmatch(text or '', '%S+') do add(id) end end

-- Adds the jobs that wait for a job, or did before its end was settled; how many of them are too many.
local function add_dependants(id, before)
  local key = p .. ':after:' .. id
  local members = call('ZRANGE', key, 0, most - 1)
  for i = 1, #members do add(string.match(members[i], '%S+$')) end
  add_all(before)
  return #members < most and 0 or call('ZCARD', key) - most
end

-- A job as it is in the reply, and its neighbours among those to be read.
local function read(id)
  local group, _, spec = parse_record(call('HGET', jobs_key(p), id) or '')
  local job = group and find_job(p, group, id, 'reason', 'needs', 'after', 'leader', 'retry_at', 'before', 'spec')
  if not job then return { id } end
  local retry_id = job.status == 'failed' and job.max_retries and job.retry_at or ''
  bytes = bytes + job.size
  add_all(job.after); add_all(job.leader); add_all(retry_id)
  local more = add_dependants(id, job.before)
  return {
    id, group, job.status, string.sub(job.spec or spec, 1, BEGINNING), job.reason or '', job.needs or '', job.after or '',
    job.leader or '', retry_id, digits(more), job.retry_at or '',
  }
end

for id in string.gmatch(known, '%S+') do is_known[id] = true end
add_all(open)
while next_id <= #ids and #rows <= n and bytes < MOST_BYTES do
  rows[#rows + 1] = read(ids[next_id])
  next_id = next_id + 1
end
rows[1] = table.concat({ unpack(ids, next_id) }, ' ')
return rows
