-- bulk_take: own a bulk that runs and whose owner was silent for too long.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] owner      the broker that continues it
-- ARGV[3] lease_ms   how long it owns the bulk without a note, ms
-- ARGV[4] known      the highest level of a bulk that this broker can carry out
--
-- moves   -
-- reply   the bulk: id, how many run, then field value field value…; empty if there is none
-- refuses -
-- flags   allow-oom
-- with    bulk_record
local p, now, owner, lease_ms, known = KEYS[1], clock(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local MOST = 100

-- The first bulk in a range of a set that is known here. One that the server evicted, or somebody deleted, leaves the set.
local function find_known(key, first, last)
  for _, id in ipairs(call('ZRANGEBYSCORE', key, first, last, 'LIMIT', 0, MOST)) do
    if call('HEXISTS', bulk_key(p, id), 'spec') == 0 then
      call('ZREM', key, id)
    elseif level_of(p, id) <= known then
      return id
    end
  end
end

-- The id of a bulk without an owner. A lease that is longer than any lease: the clock went back.
local function find_free(key)
  return find_known(key, '-inf', now) or find_known(key, '(' .. digits(now + lease_ms), '+inf')
end

local free = find_free(running_key(p)) or find_free(extended_key(p))
if not free then return {} end

own_bulk(p, free, owner, now, lease_ms)
return bulk_row(p, free)
