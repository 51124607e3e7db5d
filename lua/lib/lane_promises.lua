-- For check: the places of jobs in the lanes of their keys (lanes.lua). Each function calls add_finding(id, problem, fix); fix is a
-- function that repairs it.
local MOST_KEYS, MOST_PLACES = 1000, 1000

-- A job with a key that is queued or runs has a place, and one that is held for its key waits for one.
local function check_place(p, now, group, id, found, add_finding)
  local key, needs, rank = unpack(call('HMGET', job_key(p, id), 'key', 'needs', 'rank'))
  if not key or RETENTION_S[found.status] then return end
  local score = tonumber(call('ZSCORE', lane_key(p, group, key), id) or nil)
  local is_waiting = found.status == 'delayed' and needs == 'key'
  local function put(at)
    call('ZADD', lane_key(p, group, key), at, id)
    count_lane(p, group, key)
    if at ~= 0 then wake_lane(p, group, key, now) end
  end
  if found.status ~= 'delayed' and score ~= 0 then
    add_finding(id, 'has no place in the lane of its key', function() put(0) end)
  elseif is_waiting and not (score and score > 0) then
    add_finding(id, 'is held for its key, but does not wait in its lane', function() put(rank or new_rank(p, group, found.priority)) end)
  end
end

-- Whether a job of a lane belongs there: it has the key, and is unfinished or its end is not settled yet.
local function is_in_place(p, group, key, id, score, is_strict_now)
  local job = find_job(p, group, id, 'key', 'needs')
  if not job or job.key ~= key then return false end
  if RETENTION_S[job.status] then return call('ZSCORE', p .. ':settle', id) end
  if job.status ~= 'delayed' then return tonumber(score) == 0 end
  return tonumber(score) > 0 and job.needs == 'key' or is_strict_now and tonumber(score) == 0
end

-- The lanes of a group have jobs of their keys only, and nobody waits while a place is free. It looks at about 1,000 keys, and 1,000
-- jobs of each.
local function check_lanes(p, now, group, add_finding)
  local keys, is_strict_now, limit = call('ZREVRANGE', set_key(p, group, 'keys'), 0, MOST_KEYS - 1), is_strict(p, group), key_limit(p, group)
  local are_noted = call('ZSCORE', p .. ':settle', 'lanes:' .. group)
  for i = 1, #keys do
    local key, lane = keys[i], lane_key(p, group, keys[i])
    local members = call('ZRANGE', lane, 0, MOST_PLACES - 1, 'WITHSCORES')
    for j = 1, #members, 2 do
      if not are_noted and not is_in_place(p, group, key, members[j], members[j + 1], is_strict_now) then
        add_finding(members[j], 'is in the lane of a key without a reason', function()
          call('ZREM', lane, members[j])
          count_lane(p, group, key)
        end)
      end
    end
    local n, places, counted = call('ZCARD', lane), call('ZCOUNT', lane, 0, 0), tonumber(call('ZSCORE', set_key(p, group, 'keys'), key) or 0)
    if n ~= counted then -- not as the page had it: a repair above may have counted again
      add_finding('', 'says that a key has ' .. counted .. ' jobs; it has ' .. n .. ': ' .. key, function() count_lane(p, group, key) end)
    end
    if n > places and places < limit and not are_noted then -- also where a repair above made a place free
      add_finding('', 'has a key whose jobs wait although places are free: ' .. key, function() wake_lane(p, group, key, now) end)
    end
  end
  if call('EXISTS', set_key(p, group, 'lanes')) == 1 and not call('ZSCORE', p .. ':settle', 'lanes:' .. group) then
    add_finding('', 'has keys that settle would not look at', function() settle_later(p, { 'lanes:' .. group }, now, {}) end)
  end
end
