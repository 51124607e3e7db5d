-- Put before the scripts that hand out: the brokers where clients wait.

-- a broker that found no jobs, and for which clients wait, looks again more often than this; till then it is told of each
-- group that comes into `ready`, or with `image_pollers` of each that gets a new queued job
local WAITING_MS = 5000
local function note_poller(p, set, broker, now)
  local key = p .. ':' .. set
  call('ZREMRANGEBYSCORE', key, '-inf', now)
  call('ZREMRANGEBYSCORE', key, '(' .. whole(now + WAITING_MS), '+inf') -- of a clock that went back
  call('ZADD', key, now + WAITING_MS, broker)
  call('PEXPIRE', key, WAITING_MS)
end
