-- batch: show a batch, close it, or cancel its unfinished members.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] group      name
-- ARGV[3] id         of the batch
-- ARGV[4] what       show, close or cancel
--
-- moves   -
-- reply   id, then the values of BATCH_FIELDS; '' for those that the batch does not have
-- refuses NOT_FOUND WRONG_STATE
-- flags   allow-oom
-- with    record job settling batches
local p, now, group, id, what = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]

local batch = find_batch(p, group, id)
if not batch then return no_batch() end
if what == 'cancel' and batch.stopped ~= 'client_request' then
  if batch.ended_at or batch.open ~= '1' and batch.over == batch.total then
    return refuse('WRONG_STATE', 'The batch has ended.')
  end
  stop_batch(p, id, 'client_request', now)
elseif what == 'close' and batch.open == '1' then
  call('HSET', batch_key(p, id), 'open', 0)
  settle_batch_later(p, id, now)
end

return batch_reply(p, id)
