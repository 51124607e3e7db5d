-- notices: read the notices to workers that are newer than a number.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] since      number of the last notice that the broker has, or '' to read the newest number only
--
-- moves   -
-- reply   number of the newest notice, then the notices after `since`: cancelled group id, or order worker number word
-- refuses -
-- flags   no-writes
local p, since = KEYS[1], tonumber(ARGV[1])
local key = p .. ':notices'

local newest = tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2] or 0)
if not since or newest <= since then return { newest } end
return { newest, unpack(call('ZRANGEBYSCORE', key, '(' .. digits(since), '+inf', 'LIMIT', 0, 1000)) }
