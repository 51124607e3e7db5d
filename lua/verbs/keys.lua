-- keys: read how many jobs of each key of a group are queued, run and are held; the keys with the most of them.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] group      name
-- ARGV[2] n          keys at most
--
-- moves   -
-- reply   of jobs without a key: how many are queued and how many run, and their turn; nothing if the group has more than n
--           keys; then for each key: the key, how many of its jobs are queued, how many run, how many are held, when the oldest one was
--           enqueued, ms, or '', and its turn: 1 for the key whose job is the next one, or '' if the keys take no turns, or
--           none of the first 1,000 queued jobs is of the key
-- refuses -
-- flags   no-writes
-- with    record settling lanes fair_keys
local p, group, n = KEYS[1], ARGV[1], tonumber(ARGV[2])
local reply, MOST_LOOKS = { {} }, 1000

-- When the first of these jobs was enqueued, ms; nil if none exists.
local function oldest(ids)
  local first = nil
  for i = 1, #ids do
    local _, created_at = parse_record(call('HGET', jobs_key(p), ids[i]) or '')
    if created_at and (not first or tonumber(created_at) < tonumber(first)) then first = created_at end
  end
  return first
end

-- The turns of keys: the number of the first queued job of each, counting only the first ones. Jobs without a key are those of ''.
local function turns_of_keys()
  local turns, n_turns = {}, 0
  for _, id in ipairs(call('ZRANGE', set_key(p, group, 'queued'), 0, MOST_LOOKS - 1)) do
    local key = call('HGET', job_key(p, id), 'key') or ''
    if not turns[key] then n_turns = n_turns + 1; turns[key] = n_turns end
  end
  return turns
end

local turns = keys_take_turns(p, group) and turns_of_keys() or {}
local keys = call('ZREVRANGE', set_key(p, group, 'keys'), 0, n - 1)
local no_key_queued, no_key_running = call('ZCARD', set_key(p, group, 'queued')), call('ZCARD', set_key(p, group, 'running'))
for i = 1, #keys do
  local lane = lane_key(p, group, keys[i])
  local running = call('ZINTERCARD', 2, lane, set_key(p, group, 'running'))
  local queued = call('ZINTERCARD', 2, lane, set_key(p, group, 'queued'))
  no_key_queued, no_key_running = no_key_queued - queued, no_key_running - running
  -- ids sort by creation, so the first one with a place is the oldest of these
  local firsts = { call('ZRANGE', lane, 0, 0)[1], call('ZRANGEBYSCORE', lane, '(0', '+inf', 'LIMIT', 0, 1)[1] }
  reply[#reply + 1] = { keys[i], queued, running, call('ZCOUNT', lane, '(0', '+inf'), oldest(firsts) or '', turns[keys[i]] or '' }
end
if #keys == call('ZCARD', set_key(p, group, 'keys')) then reply[1] = { no_key_queued, no_key_running, turns[''] or '' } end
return reply
