-- ask: note of which groups, and for which images, consumers asked for jobs in the last seconds.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] asked      for each: group, or * for all; image as a JSON string, or '' for any
--
-- moves   -
-- reply   the number of groups that are noted
-- refuses -
-- flags   allow-oom
local p, now, first = KEYS[1], clock(ARGV[1]), 2
local KEPT_MS, MOST_GROUPS, MOST_IMAGES = 3600000, 10000, 1000
local groups, images = {}, {}
for at = first, #ARGV, 2 do
  groups[#groups + 1] = now; groups[#groups + 1] = ARGV[at]
  images[#images + 1] = now; images[#images + 1] = ARGV[at] .. ' ' .. ARGV[at + 1]
end

-- Adds members, and removes those that are too old, written before the clock went back, or too many.
local function add(key, members, most)
  call('ZREMRANGEBYSCORE', key, '(' .. digits(now), '+inf')
  call_many('ZADD', key, members)
  call('ZREMRANGEBYSCORE', key, '-inf', now - KEPT_MS)
  call('ZREMRANGEBYRANK', key, 0, -1 - most)
  call('PEXPIRE', key, KEPT_MS)
end

add(p .. ':asked', groups, MOST_GROUPS)
add(p .. ':asked_images', images, MOST_IMAGES)
return call('ZCARD', p .. ':asked')
