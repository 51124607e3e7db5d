-- For reap and promote: a delayed job comes into the queue, at its old rank if it was released, else at the end. One with a `key` may
-- be held then.
local function queue_delayed(p, group, id, rank, priority, key)
  call('ZREM', set_key(p, group, 'delayed'), id)
  call('ZADD', set_key(p, group, 'queued'), rank or new_rank(p, group, priority), id)
  call('HDEL', job_key(p, id), 'rank')
  if key then enter_lane(p, group, id, key) end
  if not rank then enter_turn(p, group, id, key) end
  notify_image_pollers(p, group)
end
