-- For export and restore: what ties a job to others and is no field of P:job:<id>. An export has it as two more fields: `dependants`
-- are lines of group, id and score in P:after:<id>; `holds` is the follower and the end of the window of a key that the job holds; `place` its score in the lane of its `key`.

-- Appends these fields to the row of a job.
local function append_ties(p, group, id, row)
  local lines, key, lane = {}, unpack(call('HMGET', job_key(p, id), 'unique_key', 'key'))
  local members = call('ZRANGE', after_key(p, id), 0, MOST_DEPENDANTS, 'WITHSCORES')
  for i = 1, #members, 2 do lines[#lines + 1] = members[i] .. ' ' .. members[i + 1] end
  if lines[1] then row[#row + 1] = 'dependants'; row[#row + 1] = table.concat(lines, '\n') end
  local place = lane and call('ZSCORE', lane_key(p, group, lane), id)
  if place then row[#row + 1] = 'place'; row[#row + 1] = place end
  local holder, follower, ends = nil, nil, nil
  if key then holder, follower, ends = stored_key(p, group, key) end
  if holder == id then row[#row + 1] = 'holds'; row[#row + 1] = (follower or '-') .. ' ' .. digits(ends) end
end

-- Brings a job into the lane of its key. Held jobs may have places here.
local function restore_place(p, group, id, lane, place, now)
  call('ZADD', lane_key(p, group, lane), place, id)
  count_lane(p, group, lane)
  if tonumber(place) > 0 then wake_lane(p, group, lane, now) end
end

-- Makes keys of these fields. A key that another job holds already stays with it, and this one has none.
local function restore_ties(p, group, id, record, status, now)
  local names = { 'dependants', 'holds', 'unique_key', 'place', 'key' }
  local dependants, holds, key, place, lane = unpack(call('HMGET', job_key(p, id), unpack(names)))
  call('HDEL', job_key(p, id), 'dependants', 'holds', 'place')
  for member, score in string.gmatch(dependants or '', '(%S+ %S+) ([01])') do call('ZADD', after_key(p, id), score, member) end
  if lane and (place or status == 'queued') then restore_place(p, group, id, lane, status == 'queued' and 0 or place, now) end
  local follower, ends = string.match(holds or '', '^(%S+) (%d+)$')
  if ends and key and not stored_key(p, group, key) then
    write_key(p, group, key, id, follower ~= '-' and follower or nil, tonumber(ends))
  elseif ends and key then
    call('HDEL', job_key(p, id), unpack(UNIQUE_FIELDS))
  end
  if RETENTION_S[status] and needs_settling(record) then
    settle_later(p, { id }, now, {})
  end
end
