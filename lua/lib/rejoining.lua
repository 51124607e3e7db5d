-- For restore: a job that is held may be restored after a job that it waits for. Brokers may have run that one, and settled its
-- end, in between. One that is restored later brings its dependants with it.

-- Has a held job wait for a job, unless it does or knows how that ended. The end of a job that has ended is settled once more.
local function rejoin(p, group, id, after, name, score, now)
  local parent_id, _, parent = deciding_job(p, name)
  local member = group .. ' ' .. id
  if not parent_id or call('ZSCORE', after_key(p, parent_id), member) then return end
  local known = id_in_after(p, after, parent_id)
  if known and call('HEXISTS', inputs_key(p, id), known) == 1 then return end
  call('ZADD', after_key(p, parent_id), score, member)
  if RETENTION_S[parent.status] then return settle_later(p, { parent_id }, now, {}) end
  hook(p, parent_id, parent.record, parent.execution, parent.status == 'running')
end

-- A follower whose leader has the key no more holds it, unless another job has it by now.
local function take_over(p, group, id, leader, now)
  local key, unique_until = unpack(call('HMGET', job_key(p, id), 'unique_key', 'unique_until'))
  if not key or not deciding_job(p, leader) then return end
  local holder, follower = stored_key(p, group, key)
  if not holder then return write_key(p, group, key, id, nil, window_end(unique_until, now)) end
  if holder ~= id and follower ~= id then call('HDEL', job_key(p, id), unpack(UNIQUE_FIELDS)) end
end

local function rejoin_all(p, group, id, now)
  local after, after_on, leader, needs = unpack(call('HMGET', job_key(p, id), 'after', 'after_on', 'leader', 'needs'))
  if not needs or needs == 'key' then return end
  for name in string.gmatch(after or '', '%S+') do rejoin(p, group, id, after, name, after_on == 'over' and 1 or 0, now) end
  if leader then
    rejoin(p, group, id, '', leader, 1, now)
    take_over(p, group, id, leader, now)
  end
end
