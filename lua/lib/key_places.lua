-- For restore: turns of keys (key_turns.lua) in a group with `fair_keys`.

-- Notes the place of a queued job as the last one of its key, unless that has a later one.
local function note_place(p, group, id, rank, priority)
  local fair, boost = unpack(call('HMGET', group_key(p, group), 'fair_keys', 'priority_boost'))
  local place = tonumber(rank) + (boost and priority * boost or 0)
  local member = fair and math.floor((place + MOST_LEAD) / STEP) .. ' ' .. (call('HGET', job_key(p, id), 'key') or '')
  if member then call('ZADD', set_key(p, group, 'virtual_time'), 'GT', place, member) end
end
