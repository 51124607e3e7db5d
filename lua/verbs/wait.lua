-- wait: hold a running job until other jobs have ended; the delivery is not counted.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] actor      who does it, for the history; or ''
-- ARGV[3] group      name
-- ARGV[4] id         of the running job
-- ARGV[5] lease      the token, or '' (a client without tokens)
-- ARGV[6] after      ids of the jobs that it waits for, with spaces
-- ARGV[7] after_on   over or succeeded
-- ARGV[8] receipt    JSON, or ''
--
-- moves   running -> delayed, running -> queued
-- reply   id field value field value…; repeated 1 if this delivery waits already
-- refuses NOT_FOUND WRONG_STATE LEASE_LOST INVALID LIMIT_REACHED
-- with    record job lease requeue hooks settling dependencies lanes inputs awaiting new_parents circles history
local p, now, actor, group, id = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local lease, after, after_on, receipt = ARGV[5], ARGV[6], ARGV[7], ARGV[8]

-- The record of a job that has waited: it has inputs, and as it has begun, nothing has to begin it in time.
local function waiting_record(record)
  local settings = settings_json(record)
  local rest = settings == '' and record or string.sub(record, #settings + 2)
  local words = string.gsub(string.sub(settings, 2, -2), ',"start_before":%d+', '')
  local inputs = string.find(words, '"inputs":', 1, true) and '' or words == '' and '"inputs":1' or ',"inputs":1'
  return '{' .. words .. inputs .. '} ' .. rest
end

local job = find_job(p, group, id, 'after', 'waited', 'receipts', 'progress', 'note')
local all, parents, open, is_repeat = job and job.after or '', {}, {}, job and lease ~= '' and job.waited == lease
for name in string.gmatch(after, '%S+') do
  parents[#parents + 1] = name
  if not has_id(all, name) then all, is_repeat = all == '' and name or all .. ' ' .. name, false end
end
if is_repeat then
  local row = row_of(p, group, id, job)
  row[#row + 1] = 'repeated'; row[#row + 1] = '1'
  return row
end
local refused = refusal(p, group, id, job, lease) or refused_parents(p, { { after = after } }, {}, {})
if refused then return refused end
if select(2, string.gsub(all, '%S+', '')) > MOST_AWAITED then return wrong_state(job, 'It has waited for too many jobs.') end
for i = 1, #parents do
  local parent_id, _, parent = deciding_job(p, parents[i])
  if not RETENTION_S[parent.status] then open[#open + 1] = parent_id end
end
local circle = open[1] and refused_circle(p, id, job, table.concat(open, ' '))
if circle then return circle end

local key, deliveries, rank = job_key(p, id), job.deliveries - 1, rank_in_token(job.lease)
call('HSET', jobs_key(p), id, waiting_record(job.record))
call('HSET', key, 'after', all, 'after_on', after_on, 'waited', lease)
local waits = wait_for(p, group .. ' ' .. id, parents, after_on == 'over', now, {}, all)
if waits == 0 then
  requeue(p, group, id, rank, deliveries, 0, now)
else
  call('ZREM', set_key(p, group, 'running'), id)
  if deliveries > 0 then call('HSET', executions_key(p), id, deliveries) else call('HDEL', executions_key(p), id) end
  call('HSET', key, 'needs', waits, 'rank', rank)
  hold(p, group, id)
  if job.hooks and job.hooks >= 2 then give_place_on(p, group, id, now) end
end
note_move(p, id, now, 'waited', actor, job, waits > 0 and 'delayed' or 'queued', 'receipts', receipt ~= '' and 1 or 0)
if receipt ~= '' then call('HSET', key, 'receipts', receipts_with(job.receipts, receipt)) end
if job.progress or job.note then call('HDEL', key, 'progress', 'note') end -- the next delivery has this number
refresh_ready(p, group)

return read_row(p, group, id)
