-- For retry_flow: jobs that are made again wait as the old ones did.

-- Has the new job that repeats an old one wait for what that waited for: for the new one of each of these, else for the same.
-- `new_ids` has the new ones by the ids of the old ones; `read`: see deciding_job.
local function rewire(p, old, new_ids, now, read)
  local after, parents, key = {}, {}, job_key(p, old.new_id)
  for name in string.gmatch(old.after or '', '%S+') do
    local parent_id = new_ids[name] or deciding_job(p, name, read)
    local new_parent = new_ids[name] or new_ids[parent_id or ''] or parent_id
    if new_parent ~= parent_id or new_ids[name] then call('HDEL', inputs_key(p, old.new_id), name) else new_parent = nil end
    after[#after + 1] = new_parent or name
    if parent_id then parents[#parents + 1] = new_parent or name end
  end
  if not after[1] then return end
  call('HSET', key, 'after', table.concat(after, ' '))
  local member, is_any_end = old.group .. ' ' .. old.new_id, old.after_on == 'over'
  local waits = wait_for(p, member, parents, is_any_end, now, {}, table.concat(after, ' '), read)
  if waits == 0 then return end
  call('HSET', key, 'needs', waits)
  call('ZREM', set_key(p, old.group, 'queued'), old.new_id)
  hold(p, old.group, old.new_id)
end
