-- For export and restore: batches as they were. An export has the seat of a member as one more field of its job: the score in
-- P:batch:<id>:jobs, and `unfinished` if it does not count as over yet.

-- Appends the seat of a job to its row.
local function append_seat(p, id, record, row)
  local batch = batch_of(record)
  local score = batch and call('ZSCORE', members_key(p, batch), id)
  if not score then return end
  local is_unfinished = call('ZSCORE', unfinished_key(p, batch), id)
  row[#row + 1] = 'seat'; row[#row + 1] = score .. (is_unfinished and ' unfinished' or '')
end

-- Gives a member its seat again, if its batch exists. One that was stopped has it cancelled.
local function restore_seat(p, id, record, now)
  local seat, batch = call('HGET', job_key(p, id), 'seat'), batch_of(record)
  if not seat then return end
  call('HDEL', job_key(p, id), 'seat')
  local score, unfinished = string.match(seat, '^(%d+) ?(%a*)$')
  if not batch or not score or call('EXISTS', batch_key(p, batch)) == 0 then return end
  call('ZADD', members_key(p, batch), score, id)
  if unfinished == '' then return end
  call('ZADD', unfinished_key(p, batch), score, id)
  if call('HGET', batch_key(p, batch), 'stopped') then settle_batch_later(p, batch, now) end
end

-- The batches of n times these words: id group due n_words, then field value…; and the position behind them.
local function batches_in(words, at, n)
  local batches = {}
  for i = 1, n do
    local id, group, due, n_words = unpack(words, at, at + 3)
    batches[i] = { id = id, group = group, due = tonumber(due), fields = { unpack(words, at + 4, at + 3 + n_words) } }
    at = at + 4 + n_words
  end
  return batches, at
end

-- Stores a batch as it was, unless it exists. It is settled when it was closed and has not ended.
local function restore_batch(p, batch, now)
  local key, group, id = batch_key(p, batch.id), batch.group, batch.id
  if call('EXISTS', key) == 1 then return end
  call('HSET', key, unpack(batch.fields))
  local found = read_batch(p, id)
  call('ZADD', set_key(p, group, 'batches'), found.created_at, id)
  call('ZADD', p .. ':groups', 'NX', found.created_at, group)
  if batch.due > 0 then set_batch_timer(p, group, id, batch.due) end
  if found.open ~= '1' and not found.ended_at then settle_batch_later(p, id, now) end
end
