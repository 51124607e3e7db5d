-- batch_retry: create jobs that repeat failed members of a batch, as members of a new batch.
--
-- KEYS[1] partition   name    every key of the partition begins with it
-- ARGV[1] now         ms, or '' for the server's own clock
-- ARGV[2] group       name
-- ARGV[3] batch_id    of the batch
-- ARGV[4] new_batch   id of the new batch: the first call opens it, the last one closes it; others continue where it is
-- ARGV[5] idempotency_key  or '' for none; a repeat with it gets the new batch again
-- ARGV[6] max_jobs    how many unfinished jobs a group without a limit of its own may have, or 0
-- ARGV[7] max_bytes   how many bytes these may have, or 0
-- ARGV[8] actor       who does it, for the history; or ''
-- ARGV[9] callbacks   ids for the jobs of on_failed, on_succeeded and on_over, with spaces
-- ARGV[10] new_ids    ids for new jobs: of as many members a call reads
--
-- moves   failed -> failed
-- reply   id of the new batch; last, more, or replayed; how many jobs were created
-- refuses NOT_FOUND WRONG_STATE LIMIT_REACHED
-- with    record job requeue group_settings group_limits own_limits history settling dependencies lanes fair_keys key_turns places batches members lease paging
local p, now, group, batch_id, new_batch, idempotency_key = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local max_jobs, max_bytes, actor, callbacks, first = ARGV[6], ARGV[7], ARGV[8], ARGV[9], 10
local n, NAMES = #ARGV - first + 1, { 'on_failed', 'on_succeeded', 'on_over' }

local batch, key, from = find_batch(p, group, batch_id), members_key(p, batch_id), 0
if not batch then return no_batch() end
if not batch.ended_at then return refuse('WRONG_STATE', 'The batch is not over.') end
if batch.failed == 0 then return refuse('WRONG_STATE', 'No member of the batch failed.') end
if batch.retry_at then -- while it is unfinished and open the new batch has `read`: score and id of the last member that was read
  local read, known, open = unpack(call('HMGET', batch_key(p, batch.retry_at), 'read', 'retry_key', 'open'))
  read = open == '1' and read
  if not read and known == idempotency_key and known ~= '' then return { batch.retry_at, 'replayed', 0 } end
  if not read then return refuse('WRONG_STATE', 'It was retried already, as ' .. batch.retry_at .. '.') end
  local score, after = string.match(read, '^(%S+) (%S+)$')
  new_batch, from = batch.retry_at, position(key, score, after, true)
end

-- The fields of the new batch: those of the old one, but its callbacks will be other jobs.
local function fields_of_batch()
  local words, ids = { 'open', 1, 'retry_of', batch_id, 'retry_key', idempotency_key }, string.gmatch(callbacks, '%S+')
  for _, name in ipairs({ 'name', 'counts', 'end_within', unpack(NAMES) }) do
    local value = call('HGET', batch_key(p, batch_id), name)
    if value and string.sub(name, 1, 3) == 'on_' then value = string.gsub(value, '^(%S+) %S+', '%1 ' .. ids()) end
    if value then words[#words + 1] = name; words[#words + 1] = value end
  end
  return words
end
-- Appends a member to `old` if it failed and was not retried; its bytes.
local function note_failed(old, id)
  local job = find_job(p, group, id, 'retry_at')
  if not job or job.status ~= 'failed' or job.retry_at then return 0 end
  old[#old + 1] = { id = id, job = job }
  return job.size
end

local page, old, bytes, new_ids = call('ZRANGE', key, from, from + n - 1, 'WITHSCORES'), {}, 0, {}
for i = 1, #page, 2 do bytes = bytes + note_failed(old, page[i]) end
max_jobs, max_bytes = limits_of(p, group, max_jobs, max_bytes)
local refused = over_limit(p, group, #old, bytes, max_jobs, max_bytes)
if refused then return refused end

if not batch.retry_at then
  open_batch(p, group, new_batch, fields_of_batch(), now)
  call('HSET', batch_key(p, batch_id), 'retry_at', new_batch)
end
for i = 1, #old do
  local failed = old[i].job
  new_ids[i] = ARGV[first + i - 1]
  local how = { counts = max_bytes > 0, hooks = 2, batch = new_batch }
  create_retry(p, group, old[i].id, new_ids[i], 0, failed.max_retries or 0, now, how)
  pass_key_on(p, group, old[i].id, new_ids[i])
  note_move(p, old[i].id, now, 'retried', actor, failed, 'failed', 'job', new_ids[i])
end
add_members(p, new_batch, new_ids, now)
local has_more = #page == 2 * n
if has_more then call('HSET', batch_key(p, new_batch), 'read', page[#page] .. ' ' .. page[#page - 1]) else
  call('HSET', batch_key(p, new_batch), 'open', 0)
  call('HDEL', batch_key(p, new_batch), 'read')
  settle_batch_later(p, new_batch, now)
end
refresh_ready(p, group)
return { new_batch, has_more and 'more' or 'last', #old }
