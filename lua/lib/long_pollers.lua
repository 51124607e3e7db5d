-- For next and next_image: the brokers with long polls.

-- Adds a broker that found no job and has clients waiting. For POLLER_MS it is notified of each group that comes into `ready`;
-- in image_pollers, of each group that gets a new queued job. A waiting broker repeats `next` more often than that.
local POLLER_MS = 5000
local function add_poller(p, set, broker, now)
  local key = p .. ':' .. set
  call('ZREMRANGEBYSCORE', key, '-inf', now)
  call('ZREMRANGEBYSCORE', key, '(' .. digits(now + POLLER_MS), '+inf') -- written before the clock went back
  call('ZADD', key, now + POLLER_MS, broker)
  call('PEXPIRE', key, POLLER_MS)
end
