-- use_session: read a session, which then lasts for another while.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] id         SHA-256 of the cookie, hex
-- ARGV[3] lasts_ms   how long the session lasts at most, ms
-- ARGV[4] idle_ms    how long it lasts without use, ms
--
-- moves   -
-- reply   token, csrf, ms until it ends in any case; nothing if there is no such session
-- refuses -
-- flags   allow-oom
local p, now, id, lasts_ms, idle_ms = KEYS[1], clock(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local session = p .. ':session:' .. id

local kept = call('HMGET', session, 'token', 'csrf', 'began_at')
if not kept[1] then return {} end
local left_ms = math.min(tonumber(kept[3]) + lasts_ms - now, lasts_ms)
if left_ms <= 0 then return {} end

call('HSET', session, 'used_at', digits(now))
call('PEXPIRE', session, digits(math.min(left_ms, idle_ms)))

return { kept[1], kept[2], left_ms }
