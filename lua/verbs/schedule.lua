-- schedule: put, pause, resume or remove a schedule, or set its next time again, if it is still as the broker read it.
--
-- KEYS[1] partition    name    every key of the partition begins with it
-- ARGV[1] now          ms, or '' for the server's own clock
-- ARGV[2] group        name
-- ARGV[3] name         of the schedule
-- ARGV[4] what         put, pause, resume, move or remove
-- ARGV[5] version      that the broker read: created_at, - and revision; '' when there was none
-- ARGV[6] score        when it fires next, ms; '' for never
-- ARGV[7] next_at      the same without jitter
-- ARGV[8] keeps        of put: 'score' to leave when it fires as it is, 'nothing' to forget for which times it fired, or ''; of move:
--                      when it was to fire as the broker read it, ms
-- ARGV[9] passed       of resume: reason, first time and number of the times that passed in the pause, or ''
-- ARGV[10] most        schedules in the group
-- ARGV[11] most_in_all schedules in the partition
-- ARGV[12] fields      field value…, of which '' removes a field
--
-- moves   -
-- reply   now, ms; the number of the change, 1 for a new one, 0 for one that was removed
-- refuses NOT_FOUND CHANGED LIMIT_REACHED
-- flags   allow-oom
-- with    schedules
local p, now, group, name, what, version, score = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local next_at, keeps, passed, most, most_in_all, first = ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10]), tonumber(ARGV[11]), 12
local key, index, member = schedule_key(p, group, name), set_key(p, group, 'schedules'), group .. ':' .. name
local stored = version_of(key)
if not stored and what ~= 'put' then return refuse('NOT_FOUND', 'There is no such schedule in this group.') end
if (stored or '') ~= version then return refuse('CHANGED', 'The schedule was changed meanwhile.') end
if what == 'move' and tonumber(call('ZSCORE', p .. ':schedules', member) or NEVER) ~= tonumber(keeps) then
  return refuse('CHANGED', 'The schedule has fired meanwhile.')
end
if not stored and call('ZCARD', index) >= most then
  return refuse('LIMIT_REACHED', 'The group has ' .. most .. ' schedules, the most that it may have.')
end
if not stored and call('ZCARD', p .. ':schedules') >= most_in_all then
  return refuse('LIMIT_REACHED', 'The partition has ' .. most_in_all .. ' schedules, the most that it may have.')
end

if what == 'remove' then
  call('DEL', unpack(schedule_keys(key)))
  call('ZREM', index, name)
  call('ZREM', p .. ':schedules', member)
  return { now, 0 }
end
if not stored then
  call('ZADD', p .. ':groups', 'NX', digits(now), group)
  call('ZADD', index, 0, name)
  call('HSET', key, 'created_at', digits(now))
end
if keeps ~= 'score' then set_next(p, group, name, score, next_at) end
if keeps == 'nothing' then call('DEL', key .. ':times') end
for at = first, #ARGV, 2 do
  local field, value = unpack(ARGV, at, at + 1)
  if value == '' then call('HDEL', key, field) else call('HSET', key, field, value) end
end
local current = not stored and string.match(call('HGET', key, 'last') or '', '^%S+ %S+ %S+ %S+ %S+ %S+ %S+ (%w+) ')
if current then call('RPUSH', key .. ':open', current) end -- it was exported: its last job may not have ended
for why, from, n in string.gmatch(passed, '(%a+) (%d+) (%d+)') do
  note_fire(key, { at = from, fired_at = digits(now), what = 'skipped', why = why, times = n }, 'skipped')
end
if what == 'move' then return { now, tonumber(call('HGET', key, 'revision')) } end
call('HSET', key, 'updated_at', digits(now))
return { now, call('HINCRBY', key, 'revision', 1) }
