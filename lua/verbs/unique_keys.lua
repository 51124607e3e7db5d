-- unique_keys: show who holds a unique key, or the keys of a group; or free one.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] group      name
-- ARGV[3] what       show, list or free
-- ARGV[4] key        the unique key; of list a cursor, '0' at first
-- ARGV[5] n          of list: keys to read, about
--
-- moves   -
-- reply   of show and free: the key, id and status of its holder, its follower or '', when its window ends, ms, or 0; of list: the
--           next cursor, '0' at the end, and the same five for each key
-- refuses NOT_FOUND
-- flags   allow-oom
-- with    record job unique
local p, now, group, what, key, n = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

-- Appends the key to a reply, unless it is free.
local function append(reply, name)
  local holder, follower, ends, id = holder_of(p, group, name, now)
  if not holder then return end
  for _, word in ipairs({ name, id, holder.status, follower or '', ends }) do reply[#reply + 1] = word end
end

if what == 'list' then
  local step = call('HSCAN', set_key(p, group, 'unique'), key, 'COUNT', n)
  local reply = { step[1] }
  for i = 1, #step[2], 2 do append(reply, step[2][i]) end
  return reply
end

local held = {}
append(held, key)
if not held[1] then return refuse('NOT_FOUND', 'No job holds this key.') end

if what == 'free' then
  free_key(p, group, key)
  call('HDEL', job_key(p, held[2]), unpack(UNIQUE_FIELDS))
  if held[4] ~= '' then call('HDEL', job_key(p, held[4]), unpack(UNIQUE_FIELDS)) end
end

return held
