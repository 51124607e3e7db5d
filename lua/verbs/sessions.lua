-- sessions: read the sessions that last, the newest first.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] n          sessions at most
--
-- moves   -
-- reply   for each session: id, token, began_at, used_at
-- refuses -
-- flags   no-writes
local p, n = KEYS[1], tonumber(ARGV[1])

local ids, rows = call('ZREVRANGE', p .. ':sessions', 0, 9999), {}
for i = 1, #ids do
  if #rows == n then break end
  local kept = call('HMGET', p .. ':session:' .. ids[i], 'token', 'began_at', 'used_at')
  if kept[1] then rows[#rows + 1] = { ids[i], kept[1], kept[2], kept[3] } end
end

return rows
