-- announce: store the heartbeat of a worker, and reply with its pending order.
--
-- KEYS[1] partition     name    every key of the partition begins with it
-- ARGV[1] now           ms, or '' for the server's own clock
-- ARGV[2] name          of the worker
-- ARGV[3] announcement  JSON; or '' if the worker stops
-- ARGV[4] last_order    number of the last order that it carried out
-- ARGV[5] ttl_ms        how long the worker is listed after this heartbeat, ms
-- ARGV[6] max_workers   how many workers may be listed
--
-- moves   -
-- reply   number and word of the order, or nothing
-- refuses LIMIT_REACHED
-- flags   allow-oom
local p, now, name, announcement = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3]
local last_order, ttl_ms, max_workers = ARGV[4], ARGV[5], ARGV[6]
local MOST_DEPARTED = 100
local workers, worker = p .. ':workers', p .. ':worker:' .. name

local expired_at = now - ttl_ms
local is_new = announcement ~= '' and not call('ZSCORE', workers, name)
if is_new and call('ZCOUNT', workers, '(' .. digits(expired_at), '+inf') >= tonumber(max_workers) then
  return refuse('LIMIT_REACHED', 'There are ' .. max_workers .. ' workers already.')
end

call('ZREMRANGEBYSCORE', workers, '-inf', expired_at)
local future = call('ZRANGEBYSCORE', workers, '(' .. digits(now), '+inf', 'LIMIT', 0, 100) -- written before the clock went back
for i = 1, #future do
  call('ZADD', workers, now, future[i])
  call('PEXPIRE', p .. ':worker:' .. future[i], ttl_ms)
end
if announcement == '' then
  local said, departed = call('HGET', worker, 'said'), p .. ':departed'
  if said then
    if call('HLEN', departed) >= MOST_DEPARTED then call('DEL', departed) end
    call('HSET', departed, name, digits(now) .. ' ' .. said)
    call('PEXPIRE', departed, ttl_ms)
  end
  call('ZREM', workers, name)
  call('DEL', worker)
  return {}
end
call('ZADD', workers, now, name)
call('PEXPIRE', workers, ttl_ms)
call('HSET', worker, 'said', announcement, 'seen_at', digits(now))
call('PEXPIRE', worker, ttl_ms)
if call('HGET', worker, 'number') == last_order then call('HDEL', worker, 'order') end

local order = call('HMGET', worker, 'number', 'order')
return order[2] and order or {}
