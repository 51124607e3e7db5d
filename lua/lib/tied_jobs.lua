-- For admit: jobs that wait for others, have unique keys or a `key`, or are members of a batch.

-- Creates these jobs, all of them or none. `is_stored`: which of their keys are; `batch`: as in admit; `fields`: those of a new batch.
-- Returns a refusal, or nil, the
-- outcome of each, and the first rank of those that are queued, if any is.
local function tied_jobs(p, group, new_jobs, is_stored, now, counts, batch, fields)
  local is_new, made, made_as, outcomes, first_rank, is_moved, draft = {}, {}, {}, {}, nil, false, new_draft()
  for i = 1, #new_jobs do is_new[new_jobs[i].id] = true end
  local unfinished = unfinished_parents(p, new_jobs, is_new)
  local refused = refused_parents(p, new_jobs, is_new, unfinished, draft.read) or refused_key(p, group, new_jobs, is_stored, now)
    or refused_members(p, group, batch, #new_jobs, #fields > 0)
  if refused then return refused end
  local batch_id = string.match(batch, '^%S+')
  if #fields > 0 then open_batch(p, group, batch_id, fields, now) end

  local function write()
    local rank = write_draft(p, group, draft, now, counts, batch_id)
    first_rank, draft = rank and math.min(first_rank or rank, rank) or first_rank, new_draft()
  end

  -- Creates a job, or not if another one has its key. Returns its outcome.
  local function create(new)
    local holder, follower, ends, holder_id = nil, nil, nil, nil
    if is_stored[new.key] then
      write() -- the holder may be in the draft, and what follows changes jobs
      unfinished = {}
      holder, follower, ends, holder_id = holder_of(p, group, new.key, now)
    end
    local conflict = holder and conflict_with(holder, new.kind.on_conflict)
    if conflict and conflict ~= 'follow' then
      if conflict ~= 'existing' then replace_holder(p, group, holder_id, holder, new, now, counts) end
      if new.spec == '' then call('DEL', job_key(p, new.id)) end -- a staged payload
      made_as[new.id], is_moved = holder_id, is_moved or is_new[holder_id]
      return '=' .. holder_id
    end
    local is_known, waits = {}, 0
    if new.after ~= '' then
      new.after = string.gsub(new.after, '%S+', made_as)
      waits = wait_for_parents(p, group, draft, new, unfinished, is_known, now)
    end
    if conflict then
      waits = waits + wait_for(p, group .. ' ' .. new.id, { holder_id }, true, now, is_known)
      follow(p, group, new, holder_id, follower, ends, now)
      new.follows = true
    end
    if waits > 0 then new.waits, new.score = waits, digits(HELD) end
    add_job(draft, new)
    is_stored[new.key], made[#made + 1] = new.key ~= '', new.id
    return digits(waits)
  end

  for i = 1, #new_jobs do outcomes[i] = create(new_jobs[i]) end
  write()
  for i = 1, #new_jobs do outcomes[i] = new_jobs[i].needs_place and 'key' or outcomes[i] end
  if batch_id then add_members(p, batch_id, made, now) end
  -- a job of the call that another one of it replaced may be at another place than it was made for
  if first_rank and is_moved then first_rank = tonumber(call('ZRANGE', set_key(p, group, 'queued'), 0, 0, 'WITHSCORES')[2]) end
  return nil, outcomes, first_rank
end
