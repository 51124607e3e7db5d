-- For settle: held jobs get the places in the lanes of their keys (lanes.lua) that others gave on.
local MOST_LOOKS, MOST_LANES, lane_turns = 1000, 10, {}

-- Notes that a lane may have free places. `is_woken`: jobs that are delayed may have places, from when the group had key_strict.
local function note_lane(step, group, key, is_woken)
  local name = group .. ' ' .. key
  local noted = step.lanes[name] or { group = group, key = key }
  step.lanes[name], noted.is_woken, step.are_noted = noted, noted.is_woken or is_woken, true
end

-- Notes lanes of a group at which settle must look. What is not handled yet stays in P:settle.
local function pop_lanes(p, group, step)
  local lanes = set_key(p, group, 'lanes')
  local found = call('ZPOPMAX', lanes, math.min(step.left, MOST_LANES))
  for i = 1, #found, 2 do note_lane(step, group, found[i], true) end
  step.left = step.left - math.max(1, #found / 2)
  if call('EXISTS', lanes) == 0 then step.settled[#step.settled + 1] = 'lanes:' .. group end
end

-- Takes the places of jobs that are delayed.
local function clear_delayed(p, group, key)
  local lane = lane_key(p, group, key)
  local ids, delayed = call('ZRANGEBYSCORE', lane, 0, 0, 'LIMIT', 0, MOST_LOOKS), {}
  local scores = ids[1] and call('ZMSCORE', set_key(p, group, 'delayed'), unpack(ids)) or {}
  for i = 1, #ids do if scores[i] then delayed[#delayed + 1] = ids[i] end end
  call_many('ZREM', lane, delayed)
end

-- Held jobs of a lane get its free places, those with the first ranks first; `most` jobs at most. One that has ended meanwhile leaves the
-- lane: once its own end is settled the next one gets the place.
local function advance_lane(p, group, key, most, now)
  local lane, is_any = lane_key(p, group, key), false
  local free = key_limit(p, group) - call('ZCOUNT', lane, 0, 0)
  local waiting = free > 0 and call('ZRANGEBYSCORE', lane, '(0', '+inf', 'WITHSCORES', 'LIMIT', 0, math.min(free, most)) or {}
  for i = 1, #waiting, 2 do
    local id = waiting[i]
    if is_held(p, group, id) then
      call('ZADD', lane, 0, id)
      call('ZREM', set_key(p, group, 'delayed'), id)
      call('ZADD', set_key(p, group, 'queued'), waiting[i + 1], id)
      call('HDEL', job_key(p, id), 'needs')
      enter_turn(p, group, id, key)
      is_any = true
    else
      call('ZREM', lane, id)
    end
  end
  count_lane(p, group, key)
  if free > most and #waiting == 2 * most then wake_lane(p, group, key, now) end
  return is_any
end

-- Carries out what a step means for lanes: jobs that have ended leave them, jobs that waited for others enter them, and held jobs get
-- places. The step has `left_lanes`, `entering` and `turning`, each of group, id and key in turn, and `lanes`.
local function settle_lanes(p, step, most)
  local left, entering, turning = step.left_lanes, step.entering, step.turning
  for i = 1, #left, 3 do
    call('ZREM', lane_key(p, left[i], left[i + 2]), left[i + 1])
    note_lane(step, left[i], left[i + 2], false)
  end
  for i = 1, #entering, 3 do enter_lane(p, entering[i], entering[i + 1], entering[i + 2]) end
  for i = 1, #turning, 3 do enter_turn(p, turning[i], turning[i + 1], turning[i + 2]) end
  for _, noted in pairs(step.lanes) do
    local group = noted.group
    if noted.is_woken and not is_strict(p, group) then clear_delayed(p, group, noted.key) end
    if advance_lane(p, group, noted.key, most, step.now) then
      notify_image_pollers(p, group)
      step.touched[group] = true
    end
  end
end
lane_turns.pop, lane_turns.settle = pop_lanes, settle_lanes
