-- For scripts about unique keys. P:group:<g>:unique has for each key `holder follower ends`: ids ('-' for no follower), and when the
-- window of the key ends, ms (0: it has none). P:group:<g>:windows has the keys with a window by its end. A job has the fields
-- unique_key and unique_until: over, started, or the length of its window in ms. A follower is a dependant of the holder.
local UNIQUE_FIELDS = { 'unique', 'unique_key', 'unique_until' }

local function free_key(p, group, key)
  call('HDEL', set_key(p, group, 'unique'), key)
  call('ZREM', set_key(p, group, 'windows'), key)
end

local function write_key(p, group, key, holder, follower, ends)
  call('HSET', set_key(p, group, 'unique'), key, holder .. ' ' .. (follower or '-') .. ' ' .. digits(ends))
  if ends == 0 then return call('ZREM', set_key(p, group, 'windows'), key) end
  call('ZADD', set_key(p, group, 'windows'), digits(ends), key)
  set_timer(p, 'windows', group, ends)
end

-- When the window ends that begins now, ms; 0 without one.
local function window_end(unique_until, now) return tonumber(unique_until) and now + tonumber(unique_until) or 0 end

-- The holder of a key, its follower (or nil) and the end of the window as they are stored; nil for a free key.
local function stored_key(p, group, key)
  local holder, follower, ends = string.match(call('HGET', set_key(p, group, 'unique'), key) or '', '^(%S+) (%S+) (%d+)$')
  return holder, follower ~= '-' and follower or nil, tonumber(ends)
end

-- Whether a job holds its key now. A job that is gone does not, whatever is stored.
local function is_holding(holder, ends, now)
  if not holder then return false end
  if ends > 0 then return now < ends end
  return not RETENTION_S[holder.status] and (holder.status ~= 'running' or holder.unique_until ~= 'started')
end

-- The job that holds a key now, its follower (or nil), the end of the window, and its id; nil for a free key. Once a job does not
-- hold its key any more its follower does, also before the end of the job is settled.
local function holder_of(p, group, key, now)
  local id, follower_id, ends = stored_key(p, group, key)
  local holder = id and find_job(p, group, id, 'unique_until', 'waited')
  local follower = follower_id and find_job(p, group, follower_id, 'unique_until')
  local follows = follower and not RETENTION_S[follower.status]
  if is_holding(holder, ends, now) and not (follows and RETENTION_S[holder.status]) then
    return holder, follows and follower_id or nil, ends, id
  end
  if follows then return follower, nil, window_end(follower.unique_until, now), follower_id end
end

-- Stores who holds a key now. It is called when that may have changed.
local function refresh_key(p, group, key, now)
  local _, follower, ends, id = holder_of(p, group, key, now)
  if id then write_key(p, group, key, id, follower, ends) else free_key(p, group, key) end
end

-- A retry by hand has the key of the job that it repeats; the key was free, or that job held it.
local function move_key(p, group, id, new_id, now)
  local fields = call('HMGET', job_key(p, id), unpack(UNIQUE_FIELDS))
  if not fields[2] then return end
  local holder, _, ends = stored_key(p, group, fields[2])
  for i = 1, #fields do call('HSET', job_key(p, new_id), UNIQUE_FIELDS[i], fields[i]) end
  if holder ~= id or ends <= now then ends = window_end(fields[3], now) end
  write_key(p, group, fields[2], new_id, nil, ends)
end
