-- why: read what decides when a job runs: the job, its place, its group, and who asks for jobs.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] group      name
-- ARGV[3] id         of the job; or '' for the first queued job of the group, if it has one
--
-- moves   -
-- reply   now, ms; the job: id field value field value…, or nothing; SETTINGS; when it is due, ms, or nil; counts of delayed,
--           queued and running jobs, and their bytes or nil; ids of running jobs; the end of the rate limit, rank in `ready` and the number of groups
--           before it, place in the queue, each or nil; when somebody asked for the group, and for all, ms or nil; which images
--           were asked for: group and image, ms…; counts of the last MINUTES minutes, each or nil; 1 in fair order, else 0; of the lane
--           of its key: how many jobs have places, how many there may be, or nil, and ids of HOLDERS of them
-- refuses NOT_FOUND
-- flags   no-writes
-- with    record job settling lanes
local p, now, group, id = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3]
local HOLDERS, IMAGES, MINUTES, is_of_group = 10, 1000, 5, id == ''
local SETTINGS = { 'paused', 'paused_at', 'paused_by', 'note', 'max_concurrency', 'rate_limit', 'delivery_limit', 'retry', 'max_jobs' }
SETTINGS[#SETTINGS + 1] = 'max_bytes'; SETTINGS[#SETTINGS + 1] = 'weight'; SETTINGS[#SETTINGS + 1] = 'fair_keys'
for _, status in ipairs({ 'succeeded', 'failed', 'cancelled' }) do SETTINGS[#SETTINGS + 1] = 'retention_' .. status end
local function key(set) return set_key(p, group, set) end

if is_of_group then
  if not call('ZSCORE', p .. ':groups', group) then return refuse('NOT_FOUND', 'There is no such group.') end
  id = call('ZRANGE', key('queued'), 0, 0)[1]
end
local job = id and find_job(p, group, id, 'key') or false
if not job and not is_of_group then return not_found() end

local counts, place, minutes = {}, { call('ZSCORE', p .. ':due', 'rate:' .. group), call('ZSCORE', p .. ':ready', group) }, {}
for i, status in ipairs({ 'delayed', 'queued', 'running' }) do counts[i] = call('ZCARD', key(status)) end
counts[4] = call('ZSCORE', p .. ':bytes', group)
place[3] = place[2] and call('ZCOUNT', p .. ':ready', '-inf', '(' .. place[2])
place[4] = job and call('ZRANK', key('queued'), id)
local lane, limit = job and job.key and lane_key(p, group, job.key), key_limit(p, group)
for i = 1, MINUTES do minutes[i] = (math.floor(now / 60000) - i) % 60 end

return {
  digits(now),
  job and row_of(p, group, id, job) or {},
  call('HMGET', group_key(p, group), unpack(SETTINGS)),
  job and job.status == 'delayed' and call('ZSCORE', key('delayed'), id),
  counts,
  call('ZRANGE', key('running'), 0, HOLDERS - 1),
  place,
  call('ZMSCORE', p .. ':asked', group, '*'),
  call('ZREVRANGE', p .. ':asked_images', 0, IMAGES - 1, 'WITHSCORES'),
  call('HMGET', key('minutes'), unpack(minutes)),
  call('HEXISTS', p .. ':modes', 'order'),
  lane and { call('ZCOUNT', lane, 0, 0), limit ~= math.huge and limit, call('ZRANGEBYSCORE', lane, 0, 0, 'LIMIT', 0, HOLDERS) } or {},
}
