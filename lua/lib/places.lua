-- For scripts that queue jobs with a `key`: each takes a place in the lane of its key (lanes.lua), or is held: at most key_concurrency
-- jobs have places. Its field `needs` is `key` while it is held.

-- Jobs in `queued` take places in this order as long as some are free; the others are held. Returns by id which ones are.
-- A job is also held while others are and the free places do not suffice for all, so that nobody is overtaken.
local function take_places(p, group, key, ids, ranks)
  local lane, words, held, is_held_now = lane_key(p, group, key), {}, {}, {}
  local free = key_limit(p, group) - call('ZCARD', lane)
  for i = 1, #ids do
    words[2 * i - 1], words[2 * i] = i <= free and 0 or ranks[i], ids[i]
    if i > free then
      held[#held + 1], is_held_now[ids[i]] = ids[i], true
      call('HSET', job_key(p, ids[i]), 'needs', 'key')
      hold(p, group, ids[i])
    end
  end
  call_many('ZADD', lane, words)
  call_many('ZREM', set_key(p, group, 'queued'), held)
  count_lane(p, group, key)
  return is_held_now
end

-- A job that came into `queued` takes a place, unless it has one, or is held.
local function enter_lane(p, group, id, key)
  local rank, score = call('ZSCORE', set_key(p, group, 'queued'), id), call('ZSCORE', lane_key(p, group, key), id)
  if rank and tonumber(score or 1) > 0 then take_places(p, group, key, { id }, { rank }) end
end

-- New jobs with keys that were queued take places, or are held. Returns the first rank of all that are queued still; nil if none is.
local function enter_lanes(p, group, new_jobs, first_rank)
  local ids, ranks, is_held_now, order = {}, {}, {}, {}
  for _, new in ipairs(new_jobs) do
    local key = new.rank and new.lane
    if key then
      if not ids[key] then ids[key], ranks[key], order[#order + 1] = {}, {}, key end
      table.insert(ids[key], new.id)
      table.insert(ranks[key], new.rank)
    end
  end
  if not order[1] then return first_rank end
  for _, key in ipairs(order) do
    for id in pairs(take_places(p, group, key, ids[key], ranks[key])) do is_held_now[id] = true end
  end
  local first = nil
  for _, new in ipairs(new_jobs) do
    new.needs_place = is_held_now[new.id]
    if new.rank and not new.needs_place then first = math.min(first or new.rank, new.rank) end
  end
  return first
end

-- A retry by hand has the key of the job that it repeats.
local function pass_key_on(p, group, id, new_id)
  local key = call('HGET', job_key(p, id), 'key')
  if key then call('HSET', job_key(p, new_id), 'key', key) enter_lane(p, group, new_id, key) end
  enter_turn(p, group, new_id, key)
end

-- Gives a job that does not run another key, or nil for none.
local function change_key(p, group, id, key, now)
  local fields, before = job_key(p, id), call('HGET', job_key(p, id), 'key') or nil
  if before == key then return end
  if before then
    local rank = call('ZSCORE', lane_key(p, group, before), id)
    leave_lane(p, group, id, before, now)
    call('HDEL', fields, 'key')
    if call('HGET', fields, 'needs') == 'key' then
      call('HDEL', fields, 'needs')
      call('ZREM', set_key(p, group, 'delayed'), id)
      call('ZADD', set_key(p, group, 'queued'), rank, id)
    end
  end
  if key then
    call('HSET', fields, 'key', key)
    enter_lane(p, group, id, key)
  end
  if keys_take_turns(p, group) then call('INCR', p .. ':sequence') end -- each place needs a number, or places get behind the end of the queue
  enter_turn(p, group, id, key)
  refresh_ready(p, group)
end
