-- For scripts that move jobs with a `key`. P:group:<g>:lane:<key> has the jobs of the key that have a place, with the score 0: those that
-- are queued or run, until their end is settled; and by their ranks those that are held until a place is free. P:group:<g>:keys has the
-- keys by how many jobs their lanes have, P:group:<g>:lanes those at which settle must look.

local function lane_key(p, group, key) return set_key(p, group, 'lane:' .. key) end
local function key_limit(p, group) return tonumber(call('HGET', group_key(p, group), 'key_concurrency') or math.huge) end
local function is_strict(p, group) return call('HEXISTS', group_key(p, group), 'key_strict') == 1 end

-- Notes how many jobs a lane has; how many.
local function count_lane(p, group, key)
  local n, keys = call('ZCARD', lane_key(p, group, key)), set_key(p, group, 'keys')
  if n > 0 then call('ZADD', keys, n, key) else call('ZREM', keys, key) end
  return n
end

-- Has settle look whether held jobs of a key get places.
local function wake_lane(p, group, key, now)
  call('ZADD', set_key(p, group, 'lanes'), 0, key)
  settle_later(p, { 'lanes:' .. group }, now, {})
end

-- A job leaves the lane of a key.
local function leave_lane(p, group, id, key, now)
  if call('ZREM', lane_key(p, group, key), id) == 1 and count_lane(p, group, key) > 0 then wake_lane(p, group, key, now) end
end

-- A job that is delayed now gives its place on, unless the group has key_strict.
local function give_place_on(p, group, id, now)
  local key = call('HGET', job_key(p, id), 'key')
  if key and not is_strict(p, group) then leave_lane(p, group, id, key, now) end
end

-- The automatic retry of a job has its key, and its place too if it is queued now, or the group has key_strict.
local function move_place(p, group, id, new_id)
  local key = call('HGET', job_key(p, id), 'key')
  if not key then return end
  call('HSET', job_key(p, new_id), 'key', key)
  if not is_strict(p, group) and not call('ZSCORE', set_key(p, group, 'queued'), new_id) then return end
  call('ZREM', lane_key(p, group, key), id)
  call('ZADD', lane_key(p, group, key), 0, new_id)
end
