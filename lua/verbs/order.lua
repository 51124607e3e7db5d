-- order: store an order for a worker; it replaces one that the worker has not carried out.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] name       of the worker
-- ARGV[2] order      quiet, resume or drain
--
-- moves   -
-- reply   seen_at, said (the last announcement), order
-- refuses NOT_FOUND
-- flags   allow-oom
-- with    notices_stream
local p, name, order = KEYS[1], ARGV[1], ARGV[2]
local worker = p .. ':worker:' .. name

if call('EXISTS', worker) == 0 then return refuse('NOT_FOUND', 'There is no such worker, or it was silent for too long.') end

local number = call('HINCRBY', worker, 'number', 1)
call('HSET', worker, 'order', order)
add_notice(p, table.concat({ 'order', name, number, order }, ' '))

return call('HMGET', worker, 'seen_at', 'said', 'order')
