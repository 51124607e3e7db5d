-- For scripts about schedules. P:schedules has each, `group:name`, by when it fires next, ms; with the score NEVER while it is paused
-- or done. P:schedule:<g>:<name> has its fields; `…:fires` what its last times came to, a line each, the newest first;
-- `…:open` its jobs that may not have ended, the oldest first; `…:times` stretches of times for which it fired.
local NEVER, MOST_FIRES = 9007199254740992, 50 -- 2^53, which no clock comes to

local function schedule_key(p, group, name) return p .. ':schedule:' .. group .. ':' .. name end
local function schedule_keys(key) return { key, key .. ':fires', key .. ':open', key .. ':times' } end

-- Which schedule this is, and the number of its last change; nil if there is none.
local function version_of(key)
  local created_at, revision = unpack(call('HMGET', key, 'created_at', 'revision'))
  return created_at and created_at .. '-' .. revision or nil
end

-- Sets when the schedule fires next: `score`, and without its jitter `next_at`; both '' if it does not.
local function set_next(p, group, name, score, next_at)
  call('ZADD', p .. ':schedules', score == '' and digits(NEVER) or score, group .. ':' .. name)
  call('HSET', schedule_key(p, group, name), 'next_at', next_at)
end

-- A line of `fires` has these words; those that are not known are `-`. `job` was made, and `current` is the last of its retries; of
-- a time that was skipped both are the job that was in the way. `times`: for how many times the line stands.
local FIRE_WORDS = { 'at', 'fired_at', 'what', 'why', 'moved', 'how', 'job', 'current', 'outcome', 'times' }

local function fire_line(fire)
  local words = {}
  for i, name in ipairs(FIRE_WORDS) do words[i] = fire[name] and tostring(fire[name]) or '-' end
  return table.concat(words, ' ')
end

-- Notes what a time of a schedule came to, and counts it: `counter` is fired, skipped or missed.
local function note_fire(key, fire, counter)
  local line = fire_line(fire)
  call('LPUSH', key .. ':fires', line)
  call('LTRIM', key .. ':fires', 0, MOST_FIRES - 1)
  call('HINCRBY', key, counter, fire.times or 1)
  if counter == 'fired' then call('HSET', key, 'last', line) end
end
