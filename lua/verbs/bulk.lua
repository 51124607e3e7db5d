-- bulk: begin a bulk, which its owner carries out job by job; a repeat with the same Idempotency-Key gets the first one.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] id         of the new bulk
-- ARGV[3] spec       JSON: what it does, and to which jobs
-- ARGV[4] owner      the broker that carries it out
-- ARGV[5] lease_ms   how long it owns the bulk without a note, ms
-- ARGV[6] most       bulks that may run at once
-- ARGV[7] kept_ms    how long a bulk is kept, ms
-- ARGV[8] key        group and Idempotency-Key, or ''
-- ARGV[9] digest     of the request's body
-- ARGV[10] ttl_ms    how long the key is remembered, ms
-- ARGV[11] level     of brokers that may carry it out; 0 for all
--
-- moves   -
-- reply   1 if it is a repeat; the bulk: id, how many run, then field value field value…
-- refuses LIMIT_REACHED IDEMPOTENCY_MISMATCH
-- with    idempotency bulk_record
local p, now, id, spec, owner, lease_ms = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local most, kept_ms, key, digest, ttl_ms = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9], ARGV[10]
local level = tonumber(ARGV[11])
local MOST_KEPT = 1000

local stored = key ~= '' and stored_answer(p, key, digest)
if stored and stored.err then return stored end
if stored then return { 1, bulk_row(p, stored[2]) } end
if count_running(p) >= most then
  return refuse('LIMIT_REACHED', 'There are ' .. most .. ' bulks that run; wait until one of them has ended, or stop one.')
end

call('HSET', bulk_key(p, id), 'spec', spec, 'created_at', digits(now), 'state', 'running')
if level > 0 then call('HSET', bulk_key(p, id), 'level', level) end
own_bulk(p, id, owner, now, lease_ms)
call('ZADD', p .. ':bulks', now, id)
call('ZREMRANGEBYSCORE', p .. ':bulks', '-inf', now - kept_ms)
call('ZREMRANGEBYRANK', p .. ':bulks', 0, -1 - MOST_KEPT)
call('PERSIST', p .. ':bulks')
if key ~= '' then store_answer(p, key, digest, digits(now), id, ttl_ms) end

return { 0, bulk_row(p, id) }
