-- For check: what follows from the settings of a group, and of all.

-- What brokers must know of the group is in P:modes, and its dead letters do not come back.
local function check_settings(p, group, add_finding)
  local key = group_key(p, group)
  if (call('HGET', p .. ':modes', 'group:' .. group) or nil) ~= mode_of(p, group) then
    add_finding('', 'has a wrong or missing entry in modes', function() note_mode(p, group) end)
  end
  if refused_dead_letters(p, group, call('HGET', key, 'dead_letter_to')) then
    add_finding('', 'has dead letters that come back', function() return call('HDEL', key, 'dead_letter_to') end)
  end
end

-- Places of keys are kept only of a group with `fair_keys`, and none is behind the end of the queue, where its jobs would wait too long.
local function check_turns(p, group, add_finding)
  local key, sequence = set_key(p, group, 'virtual_time'), tonumber(call('GET', p .. ':sequence') or 0)
  if call('EXISTS', key) == 1 and call('HEXISTS', group_key(p, group), 'fair_keys') == 0 then
    return add_finding('', 'has places of keys without fair_keys', function() call('UNLINK', key) end)
  end
  for band = 0, 2 do
    local ends, last = (band + 1) * STEP - MOST_LEAD - 1, band * STEP + sequence
    if call('ZCOUNT', key, '(' .. digits(last), ends) > 0 then
      add_finding('', 'has keys with places behind the end of the queue', function() call('ZREMRANGEBYSCORE', key, '(' .. digits(last), ends) end)
    end
  end
end

-- In fair order the score of a group in `ready` is its turn, of the same priority as its first job.
local function is_in_turn(p, score, rank)
  return score and rank and call('HEXISTS', p .. ':modes', 'order') == 1 and math.floor((score + MOST_LEAD) / STEP) == math.floor((rank + MOST_LEAD) / STEP)
end
