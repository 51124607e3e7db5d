-- announce: keep what a worker says of itself for a while, and answer the order that waits for it.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] name       of the worker
-- ARGV[3] said       JSON; or '' when it stops
-- ARGV[4] done       number of the last order that it carried out
-- ARGV[5] kept_ms    how long it is known without another word, ms
-- ARGV[6] most       how many workers are known at once
--
-- moves   -
-- reply   number and word of the order, or nothing
-- refuses LIMIT_REACHED
-- flags   allow-oom
local p, now, name, said, done, kept_ms, most = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local workers, worker = p .. ':workers', p .. ':worker:' .. name

local gone_at = now - kept_ms
local is_new = said ~= '' and not call('ZSCORE', workers, name)
if is_new and call('ZCOUNT', workers, '(' .. whole(gone_at), '+inf') >= tonumber(most) then
  return refuse('LIMIT_REACHED', 'There are ' .. most .. ' workers already.')
end

call('ZREMRANGEBYSCORE', workers, '-inf', gone_at)
local ahead = call('ZRANGEBYSCORE', workers, '(' .. whole(now), '+inf', 'LIMIT', 0, 100) -- the clock went back: not heard since
for i = 1, #ahead do
  call('ZADD', workers, now, ahead[i])
  call('PEXPIRE', p .. ':worker:' .. ahead[i], kept_ms)
end
if said == '' then
  call('ZREM', workers, name)
  call('DEL', worker)
  return {}
end
call('ZADD', workers, now, name)
call('PEXPIRE', workers, kept_ms)
call('HSET', worker, 'said', said, 'seen_at', whole(now))
call('PEXPIRE', worker, kept_ms)
if call('HGET', worker, 'number') == done then call('HDEL', worker, 'order') end

local order = call('HMGET', worker, 'number', 'order')
return order[2] and order or {}
