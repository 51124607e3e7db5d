-- bulk_note: keep how far a bulk is, and own it for a while longer; or release it, or end it.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] id         of the bulk
-- ARGV[3] owner      the broker that carries it out
-- ARGV[4] lease_ms   how long it owns the bulk without another note, ms; 0 releases it
-- ARGV[5] progress   JSON
-- ARGV[6] ended      how it ended, or '' while it runs
-- ARGV[7] kept_ms    how long it is kept after its end, ms
--
-- moves   -
-- reply   the bulk: id, how many run, then field value field value…
-- refuses NOT_FOUND LEASE_LOST
-- flags   allow-oom
-- with    bulk_record
local p, now, id, owner, lease_ms = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local progress, ended, kept_ms = ARGV[5], ARGV[6], ARGV[7]

local key = bulk_key(p, id)
if call('EXISTS', key) == 0 then return refuse('NOT_FOUND', 'There is no such bulk.') end
if call('HGET', key, 'owner') ~= owner then return refuse('LEASE_LOST', '0 ' .. digits(now)) end

call('HSET', key, 'progress', progress, 'noted_at', digits(now))
if ended == '' then
  own_bulk(p, id, owner, now, lease_ms)
else
  call('HSET', key, 'state', ended, 'ended_at', digits(now))
  call('HDEL', key, 'owner')
  call('ZREM', set_of_bulk(p, id), id)
  call('PEXPIRE', key, kept_ms)
  if count_running(p) == 0 then call('PEXPIRE', p .. ':bulks', kept_ms) end
end

return bulk_row(p, id)
