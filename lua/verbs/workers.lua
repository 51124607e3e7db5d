-- workers: read the listed workers in the order of their names, or one of them.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] n          workers at most
-- ARGV[2] after      only names after this one
-- ARGV[3] name       only this one, or ''
--
-- moves   -
-- reply   for each worker: seen_at, said (the last announcement), order or nil
-- refuses -
-- flags   no-writes
local p, n, after, name = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3]

local names, rows = name ~= '' and { name } or call('ZRANGE', p .. ':workers', 0, 9999), {}
table.sort(names)
for i = 1, #names do
  if #rows == n then break end
  local row = names[i] > after and call('HMGET', p .. ':worker:' .. names[i], 'seen_at', 'said', 'order')
  if row and row[2] then rows[#rows + 1] = row end
end

return rows
