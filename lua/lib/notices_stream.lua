-- Put before the scripts that have news for workers: `notices`, which brokers read while workers wait for news.
local MOST_NOTICES = 1000

-- a notice has the number behind the newest one's
local function add_notice(p, text)
  local key = p .. ':notices'
  local newest = call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0
  call('ZADD', key, newest + 1, text)
  call('ZREMRANGEBYRANK', key, 0, -1 - MOST_NOTICES)
end
