-- For export and restore: what ties a job to others and is no field of P:job:<id>. An export has it as two more fields: `dependants`
-- are lines of group, id and score in P:after:<id>; `holds` is the follower and the end of the window of a key that the job holds.

-- Appends these fields to the row of a job.
local function append_ties(p, group, id, row)
  local lines, key = {}, call('HGET', job_key(p, id), 'unique_key')
  local members = call('ZRANGE', after_key(p, id), 0, MOST_DEPENDANTS, 'WITHSCORES')
  for i = 1, #members, 2 do lines[#lines + 1] = members[i] .. ' ' .. members[i + 1] end
  if lines[1] then row[#row + 1] = 'dependants'; row[#row + 1] = table.concat(lines, '\n') end
  local holder, follower, ends = nil, nil, nil
  if key then holder, follower, ends = stored_key(p, group, key) end
  if holder == id then row[#row + 1] = 'holds'; row[#row + 1] = (follower or '-') .. ' ' .. digits(ends) end
end

-- Makes keys of these fields. A key that another job holds already stays with it, and this one has none.
local function restore_ties(p, group, id, record, status, now)
  local dependants, holds, key = unpack(call('HMGET', job_key(p, id), 'dependants', 'holds', 'unique_key'))
  call('HDEL', job_key(p, id), 'dependants', 'holds')
  for member, score in string.gmatch(dependants or '', '(%S+ %S+) ([01])') do call('ZADD', after_key(p, id), score, member) end
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
