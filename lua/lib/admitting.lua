-- For admit and fire: creates a new job, or not if another one has its key.

-- Returns the outcome: for how many jobs it waits, or = and the id of the job that has its key; and its rank if it is queued.
-- `made_as` has for ids of new jobs that were not created those of the jobs that have their keys.
local function admit_job(p, group, new, now, counts, made_as)
  local holder, follower, ends, holder_id = nil, nil, nil, nil
  if new.key ~= '' then holder, follower, ends, holder_id = holder_of(p, group, new.key, now) end
  local conflict = holder and conflict_with(holder, new.on_conflict)
  if conflict and conflict ~= 'follow' then
    if conflict ~= 'existing' then replace_holder(p, group, holder_id, holder, new, now, counts) end
    if new.spec == '' then call('DEL', job_key(p, new.id)) end
    made_as[new.id] = holder_id
    return '=' .. holder_id
  end
  local parents, member, is_known = {}, group .. ' ' .. new.id, {}
  for id in string.gmatch(new.after, '%S+') do parents[#parents + 1] = made_as[id] or id end
  new.after = table.concat(parents, ' ')
  local waits = wait_for(p, member, parents, new.after_on == 'over', now, is_known)
  if conflict then
    waits = waits + wait_for(p, member, { holder_id }, true, now, is_known)
    follow(p, group, new, holder_id, follower, ends, now)
  elseif new.key ~= '' then
    write_key(p, group, new.key, new.id, nil, window_end(new.unique_until, now))
  end
  return digits(waits), create_job(p, group, new, waits, now, counts)
end
