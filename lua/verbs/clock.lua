-- clock: the store's own clock, to measure how long the scripts between two of these calls took.
--
-- KEYS[1] partition  name    every key of the partition begins with it
--
-- moves   -
-- reply   µs since 1970
-- refuses -
-- flags   no-writes
local p = KEYS[1]

local time = call('TIME')
return time[1] * 1000000 + time[2]
