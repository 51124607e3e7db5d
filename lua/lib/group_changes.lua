-- For configure and adjust: what follows when a group gets other settings.

-- What is kept of a pause: since when, at whose request, and a note of people.
local OF_PAUSE = { 'paused_at', 'paused_by', 'note' }

-- Notes that a pause begins now at the request of `by`, '' for nobody, or that it has ended.
local function note_pause(key, was_paused, now, by)
  local is_paused = call('HEXISTS', key, 'paused') == 1
  if is_paused and not was_paused then
    call('HSET', key, 'paused_at', digits(now))
    if by ~= '' then call('HSET', key, 'paused_by', by) end
  elseif was_paused and not is_paused then
    call('HDEL', key, 'paused_at', 'paused_by')
  end
  return is_paused
end

-- Applies the rate_limit, has the reaper look at the retention, and updates the ready index and what brokers must know.
local function apply_settings(p, group, now)
  note_mode(p, group)
  apply_rate(p, group, now)
  for status in pairs(RETENTION_S) do
    if call('EXISTS', set_key(p, group, status)) == 1 then set_timer(p, status, group, now) end
  end
  if call('EXISTS', set_key(p, group, 'keys')) == 1 then -- the places of keys may be more than they were
    call('ZUNIONSTORE', set_key(p, group, 'lanes'), 1, set_key(p, group, 'keys'))
    settle_later(p, { 'lanes:' .. group }, now, {})
  end
  if call('HEXISTS', group_key(p, group), 'fair_keys') == 0 then call('UNLINK', set_key(p, group, 'virtual_time')) end
  refresh_ready(p, group)
end
