-- For admit, wait and check: what jobs wait for.

-- Whether a job has ended, and can no longer be retried automatically. `retry_at` is that field of the job.
local function is_final(parent, retry_at)
  return RETENTION_S[parent.status] and not (parent.status == 'failed' and parent.max_retries and retry_at)
end

-- The id, group and fields of the job that decides for a parent: the last of its automatic retries, or itself. nil if it is gone.
local function deciding_job(p, id)
  while true do
    local group = parse_record(call('HGET', jobs_key(p), id) or '')
    local parent = group and find_job(p, group, id, 'retry_at')
    if not parent then return nil end
    if not RETENTION_S[parent.status] or is_final(parent, parent.retry_at) then return id, group, parent end
    id = parent.retry_at
  end
end

-- Has the end of a job settled: by `hooks` in its record, and while it runs by how its execution ends.
local function hook(p, id, record, execution, is_running)
  if needs_settling(record) then return end
  local hooked, is_changed = string.gsub(record, '^{"hooks":1', '{"hooks":2')
  if is_changed == 0 then hooked = byte(record) == BRACE and '{"hooks":2,' .. string.sub(record, 2) or '{"hooks":2} ' .. record end
  call('HSET', jobs_key(p), id, hooked)
  if is_running then call('HSET', executions_key(p), id, string.gsub(execution, ' %+$', '') .. ' ++') end
end

-- The refusal of a job that does not exist, or that has too many dependants; nil if none is refused. `is_new` has the ids of the
-- new jobs.
local function refused_parents(p, new_jobs, is_new)
  local counts = {}
  for i = 1, #new_jobs do
    for id in string.gmatch(new_jobs[i].after, '%S+') do
      local parent_id, _, parent = nil, nil, nil
      if not is_new[id] then parent_id, _, parent = deciding_job(p, id) end
      if not is_new[id] and not parent_id then return refuse('INVALID', id .. ' There is no such job in the partition of the group.') end
      if parent and not RETENTION_S[parent.status] then
        counts[parent_id] = (counts[parent_id] or call('ZCARD', after_key(p, parent_id))) + 1
        if counts[parent_id] > MOST_DEPENDANTS then
          return refuse('LIMIT_REACHED', 'For the job ' .. parent_id .. ' ' .. digits(MOST_DEPENDANTS) .. ' jobs wait already.')
        end
      end
    end
  end
end

-- Has a job, `group id`, wait for these jobs, unless it waits for them already; for how many more. One that failed already has its
-- end settled once more. `is_known` has the jobs that it waits for; `after` their ids, if it keeps their results.
local function wait_for(p, member, parents, is_any_end, now, is_known, after)
  local needs = 0
  for i = 1, #parents do
    local id, _, parent = deciding_job(p, parents[i])
    local is_over = RETENTION_S[parent.status]
    if after and is_over then keep_input(p, string.match(member, '%S+$'), after, id, parent.status) end
    if is_over and (is_any_end or parent.status == 'succeeded') then
      note_before(p, id, { member })
    elseif not is_known[id] then
      needs, is_known[id] = needs + 1, true
      call('ZADD', after_key(p, id), is_any_end and 1 or 0, member)
      hook(p, id, parent.record, parent.execution, parent.status == 'running')
      if is_over then settle_later(p, { id }, now, {}) end
    end
  end
  return needs
end
