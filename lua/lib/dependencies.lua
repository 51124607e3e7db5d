-- For scripts about jobs that wait for others. P:after:<id> has the dependants of a job, `group id`: with the score 0 those that
-- wait for its success, with 1 those that wait for its end. A dependant is held: it is in `delayed` with the score HELD, which no
-- clock comes to. Its field `needs` has for how many jobs it waits.
local HELD = 9007199254740992 -- 2^53
local MOST_DEPENDANTS, MOST_BEFORE = 10000, 200
local function after_key(p, id) return p .. ':after:' .. id end

-- The field `before` of a job with more ids: the first MOST_BEFORE of those that waited for it and wait no more. nil if it stays.
local function before_with(before, ids)
  local _, n = string.gsub(before, '%S+', '')
  if n >= MOST_BEFORE or not ids[1] then return nil end
  return (before ~= '' and before .. ' ' or '') .. table.concat(ids, ' ', 1, math.min(#ids, MOST_BEFORE - n))
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
  call('ZADD', set_key(p, group, 'queued'), dependant.rank or new_rank(p, group, dependant.priority), id)
  notify_image_pollers(p, group)
end
