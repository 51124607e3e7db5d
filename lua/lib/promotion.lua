-- For reap and promote: a delayed job comes into the queue, at its old rank if it was released, else at the end.
local function queue_delayed(p, group, id, rank, priority)
  call('ZREM', set_key(p, group, 'delayed'), id)
  call('ZADD', set_key(p, group, 'queued'), rank or new_rank(p, group, priority), id)
  call('HDEL', job_key(p, id), 'rank')
  notify_image_pollers(p, group)
end
