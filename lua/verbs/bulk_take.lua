-- bulk_take: own a bulk that runs and whose owner was silent for too long.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] owner      the broker that continues it
-- ARGV[3] lease_ms   how long it owns the bulk without a note, ms
--
-- moves   -
-- reply   the bulk: id, how many run, then field value field value…; empty if there is none
-- refuses -
-- flags   allow-oom
-- with    bulk_record
local p, now, owner, lease_ms = KEYS[1], clock(ARGV[1]), ARGV[2], tonumber(ARGV[3])

local key = running_key(p)

-- The id of a bulk without an owner. A lease that is longer than any lease: the clock went back.
local function find_free()
  return call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, 1)[1]
    or call('ZRANGEBYSCORE', key, '(' .. now + lease_ms, '+inf', 'LIMIT', 0, 1)[1]
end

local free = find_free()
while free and call('HEXISTS', bulk_key(p, free), 'spec') == 0 do  -- the server evicted it, or somebody deleted it
  call('ZREM', key, free)
  free = find_free()
end
if not free then return {} end

own_bulk(p, free, owner, now, lease_ms)
return bulk_row(p, free)
