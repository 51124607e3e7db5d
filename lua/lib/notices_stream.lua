-- For cancel and order: notices to workers. A broker with waiting workers reads the new ones.
local MOST_NOTICES = 1000

-- Adds a notice; its number is that of the newest one plus 1.
local function add_notice(p, notice)
  local key = p .. ':notices'
  local newest = call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0
  call('ZADD', key, newest + 1, notice)
  call('ZREMRANGEBYRANK', key, 0, -1 - MOST_NOTICES)
end
