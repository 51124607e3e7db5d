-- inputs: show what a job got from the jobs that it waited for.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] group      name
-- ARGV[2] id         of the job
--
-- moves   -
-- reply   the ids that it waits for, with spaces; then for each that has ended: id, how it ended, a space and its result; and
--           `bytes` with those of the results
-- refuses NOT_FOUND
-- flags   no-writes
-- with    record job inputs
local p, group, id = KEYS[1], ARGV[1], ARGV[2]

local job = find_job(p, group, id, 'after')
if not job then return not_found() end

return { job.after or '', unpack(job.inputs and call('HGETALL', inputs_key(p, id)) or {}) }
