-- keys: read how many jobs of each key of a group are queued, run and are held; the keys with the most of them.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] group      name
-- ARGV[2] n          keys at most
--
-- moves   -
-- reply   for each key: the key, how many of its jobs are queued, how many run, how many are held, and when the oldest one was
--           enqueued, ms, or ''
-- refuses -
-- flags   no-writes
-- with    record settling lanes
local p, group, n = KEYS[1], ARGV[1], tonumber(ARGV[2])
local reply = {}

-- When the first of these jobs was enqueued, ms; nil if none exists.
local function oldest(ids)
  local first = nil
  for i = 1, #ids do
    local _, created_at = parse_record(call('HGET', jobs_key(p), ids[i]) or '')
    if created_at and (not first or tonumber(created_at) < tonumber(first)) then first = created_at end
  end
  return first
end

local keys = call('ZREVRANGE', set_key(p, group, 'keys'), 0, n - 1)
for i = 1, #keys do
  local lane = lane_key(p, group, keys[i])
  local running = call('ZINTERCARD', 2, lane, set_key(p, group, 'running'))
  local queued = call('ZINTERCARD', 2, lane, set_key(p, group, 'queued'))
  -- ids sort by creation, so the first one with a place is the oldest of these
  local firsts = { call('ZRANGE', lane, 0, 0)[1], call('ZRANGEBYSCORE', lane, '(0', '+inf', 'LIMIT', 0, 1)[1] }
  reply[#reply + 1] = { keys[i], queued, running, call('ZCOUNT', lane, '(0', '+inf'), oldest(firsts) or '' }
end
return reply
