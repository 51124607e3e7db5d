-- release: requeue running jobs at the request of their consumers; the delivery is not counted.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] actor      who does it, for the history; or ''
-- ARGV[3] jobs       for each: group id lease delay receipt; lease is the token or '', delay in s, receipt JSON or ''
--
-- moves   running -> queued, running -> delayed
-- reply   for each job: id field value field value…; or its refusal
-- refuses NOT_FOUND WRONG_STATE LEASE_LOST
-- flags   allow-oom
-- with    record deadlines job lease requeue settling lanes history
local p, now, actor, first = KEYS[1], clock(ARGV[1]), ARGV[2], 3
local changed = {}

local function release(group, id, lease, delay, receipt)
  local job = find_job(p, group, id, 'receipts', 'progress', 'note')
  local refused = refusal(p, group, id, job, lease)
  if refused then return refused end

  requeue(p, group, id, rank_in_token(job.lease), job.deliveries - 1, delay * 1000, now)
  if job.hooks then set_deadline(p, group, id, job, job.deliveries - 1) end
  local to = tonumber(delay) > 0 and 'delayed' or 'queued'
  if to == 'delayed' and job.hooks and job.hooks >= 2 then give_place_on(p, group, id, now) end
  note_move(p, id, now, 'released', actor, job, to, 'receipts', receipt ~= '' and 1 or 0)
  if receipt ~= '' then call('HSET', job_key(p, id), 'receipts', receipts_with(job.receipts, receipt)) end
  if job.progress or job.note then call('HDEL', job_key(p, id), 'progress', 'note') end -- the next delivery has this number
  changed[group] = true

  return read_row(p, group, id)
end

local items = {}
for at = first, #ARGV, 5 do items[#items + 1] = release(unpack(ARGV, at, at + 4)) end
for group in pairs(changed) do refresh_ready(p, group) end
return replies(items)
