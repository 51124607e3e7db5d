-- check_schedules: compare the keys of some schedules of a group, and repair them if asked; the fields count as right.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] repair     'repair', or ''
-- ARGV[3] group      name
-- ARGV[4] names      of schedules
--
-- moves   -
-- reply   for each finding: '', the problem, 1 when it is repaired now, else 0
-- refuses -
-- flags   allow-oom
-- with    schedules
local p, now, repair, group, first = KEYS[1], clock(ARGV[1]), ARGV[2] == 'repair', ARGV[3], 4
local index, findings = set_key(p, group, 'schedules'), {}

local function add_finding(name, problem, fix)
  if repair then fix() end
  findings[#findings + 1] = { '', 'the schedule ' .. name .. ' ' .. problem, repair and 1 or 0 }
end

-- It fires now, so that a broker computes its next time.
local function wake(name) set_next(p, group, name, digits(now), '') end

local function check_fields(name, key)
  local state, next_at, handled = unpack(call('HMGET', key, 'state', 'next_at', 'handled'))
  local score = tonumber(call('ZSCORE', p .. ':schedules', group .. ':' .. name) or nil)
  local fires = state == 'active'
  if not call('ZSCORE', index, name) then
    add_finding(name, 'is not in the list of its group', function() call('ZADD', index, 0, name) end)
  end
  if not fires and score ~= NEVER then
    add_finding(name, 'is ' .. (state or 'in no state') .. ', but would fire', function() set_next(p, group, name, '', next_at or '') end)
  elseif fires and (not score or score == NEVER) then
    add_finding(name, 'is active, but would never fire', function() wake(name) end)
  elseif fires and handled and tonumber(next_at) and tonumber(next_at) <= tonumber(handled) then
    add_finding(name, 'would fire for a time for which it has fired', function()
      call('HDEL', key, 'handled')
      wake(name)
    end)
  end
end

for i = first, #ARGV do
  local name, key = ARGV[i], schedule_key(p, group, ARGV[i])
  if version_of(key) then
    check_fields(name, key)
  elseif call('EXISTS', unpack(schedule_keys(key))) > 0 or call('ZSCORE', index, name) or call('ZSCORE', p .. ':schedules', group .. ':' .. name) then
    add_finding(name, 'has keys, but no fields', function()
      call('DEL', unpack(schedule_keys(key)))
      call('ZREM', index, name)
      call('ZREM', p .. ':schedules', group .. ':' .. name)
    end)
  end
end
return findings
