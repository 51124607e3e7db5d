-- bulk_stop: ask the owner of a bulk to stop; of one that has ended nothing changes.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] id         of the bulk
-- ARGV[2] by         who asks for it, or ''
--
-- moves   -
-- reply   the bulk: id, how many run, then field value field value…
-- refuses NOT_FOUND
-- flags   allow-oom
-- with    bulk_record
local p, id, by = KEYS[1], ARGV[1], ARGV[2]

local state = call('HGET', bulk_key(p, id), 'state')
if not state then return refuse('NOT_FOUND', 'There is no such bulk, or it was more than 7 days ago.') end

if state == 'running' then call('HSET', bulk_key(p, id), 'state', 'stopping', 'stopped_by', by) end
return bulk_row(p, id)
