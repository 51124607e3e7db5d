-- announce_broker: keep what a broker says of itself for a while.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] name       of the broker
-- ARGV[3] said       JSON; or '' when it stops
-- ARGV[4] kept_ms    how long it is known without another announcement, ms
--
-- moves   -
-- reply   how many brokers are known now
-- refuses -
-- flags   allow-oom
local p, now, name, said, kept_ms = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local brokers = p .. ':brokers'

local known = call('HGETALL', brokers)
for i = 1, #known, 2 do
  local seen_at = tonumber(known[i + 1]:match('^%d+'))
  if math.abs(now - seen_at) > kept_ms then call('HDEL', brokers, known[i]) end -- one of the future: the clock went back
end
if said == '' then
  call('HDEL', brokers, name)
else
  call('HSET', brokers, name, digits(now) .. ' ' .. said)
  call('PEXPIRE', brokers, kept_ms)
end

return call('HLEN', brokers)
