-- end_sessions: end one session, or all sessions of a token.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] id         SHA-256 of the cookie, hex; or '' for all of the token
-- ARGV[2] token      SHA-256 of the token, hex; or '' for the one whatever its token
--
-- moves   -
-- reply   how many sessions ended
-- refuses -
-- flags   allow-oom
local p, id, token = KEYS[1], ARGV[1], ARGV[2]
local sessions = p .. ':sessions'

local ids, ended = id ~= '' and { id } or call('ZRANGE', sessions, 0, 9999), 0
for i = 1, #ids do
  local session = p .. ':session:' .. ids[i]
  if token == '' or call('HGET', session, 'token') == token then
    ended = ended + call('DEL', session)
    call('ZREM', sessions, ids[i])
  end
end

return ended
