-- For scripts that change the settings of groups: which settings they must not have, and what brokers must know of them.
local MOST_STEPS = 10
local OF_NEW_JOBS = { 'start_within', 'max_jobs', 'max_bytes', 'priority_boost', 'fair_keys' } -- numbers, and true

-- The refusal of a group for dead letters from which copies would come back; nil if it is not refused, or '' or nil. Such settings
-- never form a ring, so each copy of a copy comes to an end.
local function refused_dead_letters(p, group, to)
  local at = to or ''
  for _ = 1, MOST_STEPS do
    if at == '' then return nil end
    if at == group then
      local why = to == group and 'A group cannot have its own dead letters.' or 'The dead letters of ' .. to .. ' come back to this group.'
      return refuse('INVALID', 'group.dead_letter_to ' .. why)
    end
    at = call('HGET', group_key(p, at), 'dead_letter_to') or ''
  end
  return at ~= '' and refuse('INVALID', 'group.dead_letter_to Dead letters pass through ' .. MOST_STEPS .. ' groups at most.') or nil
end

-- What brokers must know to create the jobs of a group, JSON; nil if it is nothing.
local function mode_of(p, group)
  local words, values = {}, call('HMGET', group_key(p, group), unpack(OF_NEW_JOBS))
  for i = 1, #OF_NEW_JOBS do
    if values[i] then words[#words + 1] = '"' .. OF_NEW_JOBS[i] .. '":' .. values[i] end
  end
  return words[1] and '{' .. table.concat(words, ',') .. '}' or nil
end

-- Brings P:modes up to date.
local function note_mode(p, group)
  local mode = mode_of(p, group)
  if mode then call('HSET', p .. ':modes', 'group:' .. group, mode) else call('HDEL', p .. ':modes', 'group:' .. group) end
end

-- Whether a group has these settings, fields and values, and no others.
local function has_settings(p, group, settings)
  local is_same = call('HLEN', group_key(p, group)) == #settings / 2
  for i = 1, #settings, 2 do is_same = is_same and call('HGET', group_key(p, group), settings[i]) == settings[i + 1] end
  return is_same
end
