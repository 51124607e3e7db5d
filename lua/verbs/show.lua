-- show: a job as it is.
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

local job = find(p, group, id)
if not job then return not_found() end

return row_of_job(p, group, id, job)
