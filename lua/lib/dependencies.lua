-- For scripts about jobs that wait for others. P:after:<id> has the dependants of a job, `group id`: with the score 0 those that
-- wait for its success, with 1 those that wait for its end. A dependant is held: it is in `delayed` with the score HELD, which no
-- clock comes to. Its field `needs` has for how many jobs it waits.
local HELD = 9007199254740992 -- 2^53
local MOST_DEPENDANTS, MOST_BEFORE = 10000, 200
local function after_key(p, id) return p .. ':after:' .. id end

-- Notes in a job's field `before` that jobs waited for it, once they wait no more: of each, `group id`, the id. It keeps the first
-- MOST_BEFORE.
local function note_before(p, id, members)
  local before = call('HGET', job_key(p, id), 'before') or ''
  local _, n = string.gsub(before, '%S+', '')
  local ids = { before ~= '' and before or nil }
  for i = 1, math.min(#members, MOST_BEFORE - n) do ids[#ids + 1] = string.match(members[i], '%S+$') end
  if #members > 0 and n < MOST_BEFORE then call('HSET', job_key(p, id), 'before', table.concat(ids, ' ')) end
end

local function hold(p, group, id)
  call('ZADD', set_key(p, group, 'delayed'), digits(HELD), id)
end
local function is_held(p, group, id) return tonumber(call('ZSCORE', set_key(p, group, 'delayed'), id) or 0) >= HELD end

-- A held job that waits for nothing any more comes into the queue, or its own delay begins. One that ran before has a rank.
local function enter(p, group, id, dependant, now)
  local at = dependant.rank and now or dependant.due or now + (dependant.delay or 0) * 1000
  call('HDEL', job_key(p, id), 'needs', 'rank')
  if at > now then
    call('ZADD', set_key(p, group, 'delayed'), digits(at), id)
    return set_timer(p, 'delayed', group, at)
  end
  call('ZREM', set_key(p, group, 'delayed'), id)
  call('ZADD', set_key(p, group, 'queued'), dependant.rank or new_rank(p, dependant.priority), id)
  notify_image_pollers(p, group)
end
