-- For glance: how many jobs of a group wait for other jobs, for a place of their key, and for its rate limit; of how many keys.
local MOST_KEYS, HELD = 1000, '9007199254740992' -- 2^53: the score of held jobs

-- nil when none does, so that most groups have nothing of this. Of the MOST_KEYS largest keys, those past the limit wait for a place.
local function waiting_counts(p, group, n_delayed, n_queued, rate_limit, key_limit)
  local held, of_key, full = n_delayed > 0 and call('ZCOUNT', set_key(p, group, 'delayed'), HELD, '+inf') or 0, 0, 0
  local is_limited = rate_limit and n_queued > 0 and call('ZSCORE', p .. ':due', 'rate:' .. group)
  if held == 0 and not is_limited then return nil end
  if key_limit and held > 0 then
    local found = call('ZREVRANGEBYSCORE', set_key(p, group, 'keys'), '+inf', '(' .. key_limit, 'WITHSCORES', 'LIMIT', 0, MOST_KEYS)
    for i = 2, #found, 2 do of_key = of_key + found[i] - key_limit end
    of_key, full = math.min(held, of_key), #found / 2
  end
  return { held - of_key, of_key, is_limited and n_queued or 0, full }
end
