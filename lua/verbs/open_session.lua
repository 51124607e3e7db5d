-- open_session: keep the session of somebody who has logged in.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] id         SHA-256 of the cookie, hex
-- ARGV[3] token      SHA-256 of the token, hex
-- ARGV[4] csrf       a random word: requests of the session that change something must send it
-- ARGV[5] lasts_ms   how long the session lasts at most, ms
-- ARGV[6] idle_ms    how long it lasts without use, ms
-- ARGV[7] most       sessions at most; those that began first end
--
-- moves   -
-- reply   how many sessions there are now
-- refuses -
-- flags   allow-oom
local p, now, id, token, csrf = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local lasts_ms, idle_ms, most = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local sessions, session = p .. ':sessions', p .. ':session:' .. id

call('ZREMRANGEBYSCORE', sessions, '-inf', digits(now - lasts_ms))
local surplus = call('ZCARD', sessions) + 1 - most
if surplus > 0 then
  local first = call('ZRANGE', sessions, 0, surplus - 1)
  for i = 1, #first do
    call('DEL', p .. ':session:' .. first[i])
    call('ZREM', sessions, first[i])
  end
end
call('HSET', session, 'token', token, 'csrf', csrf, 'began_at', digits(now), 'used_at', digits(now))
call('PEXPIRE', session, idle_ms)
call('ZADD', sessions, digits(now), id)
call('PEXPIRE', sessions, lasts_ms)

return call('ZCARD', sessions)
