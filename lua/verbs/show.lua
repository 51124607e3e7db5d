-- show: read one job.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] group      name
-- ARGV[2] id         of the job
--
-- moves   -
-- reply   id field value field value…
-- refuses NOT_FOUND
-- flags   no-writes
-- with    record job
local p, group, id = KEYS[1], ARGV[1], ARGV[2]

local job = find_job(p, group, id)
if not job then return not_found() end

return row_of(p, group, id, job)
