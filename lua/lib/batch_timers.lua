-- For reap: ends and deletes batches in time.

-- A batch that has ended is deleted when its retention ends. One that is not over in time is stopped.
local function end_batch(p, group, id, now)
  local batch = read_batch(p, id)
  if not batch or batch.ended_at then return delete_batch(p, group, id) end
  call('ZREM', set_key(p, group, 'ending'), id)
  stop_batch(p, id, 'end_within', now)
end
