-- brokers: those that are known, by name.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] n          how many at most
-- ARGV[3] after      only names behind this one
-- ARGV[4] kept_ms    how long one is known without another announcement, ms
--
-- moves   -
-- reply   for each broker: seen_at, said
-- refuses -
-- flags   no-writes
local p, now, n, after, kept_ms = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])

local known, said, names = call('HGETALL', p .. ':brokers'), {}, {}
for i = 1, #known, 2 do
  said[known[i]] = known[i + 1]
  names[#names + 1] = known[i]
end
table.sort(names)
local rows = {}
for i = 1, #names do
  if #rows == n then break end
  local seen_at, text = said[names[i]]:match('^(%d+) (.*)')
  if names[i] > after and math.abs(now - tonumber(seen_at)) <= kept_ms then rows[#rows + 1] = { seen_at, text } end
end

return rows
