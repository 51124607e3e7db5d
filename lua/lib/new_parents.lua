-- For admit: what new jobs wait for.

-- Those of them that have not ended and are no new jobs, by id: each has its record and its execution.
local function unfinished_parents(p, new_jobs, is_new)
  local ids, found = {}, {}
  for i = 1, #new_jobs do
    for id in string.gmatch(new_jobs[i].after, '%S+') do
      if not is_new[id] and found[id] == nil then ids[#ids + 1], found[id] = id, false end
    end
  end
  for first = 1, #ids, 1000 do
    local last = math.min(first + 999, #ids)
    local records = call('HMGET', jobs_key(p), unpack(ids, first, last))
    local executions = call('HMGET', executions_key(p), unpack(ids, first, last))
    for i = first, last do
      local record, execution = records[i - first + 1], executions[i - first + 1] or nil
      local is_whole = record and parse_record(record) and byte(record, -1) ~= SPACE
      if is_whole and not RETENTION_S[status_in(execution)] then found[ids[i]] = { record = record, execution = execution } end
    end
  end
  return found
end

-- The refusal of a job that does not exist, or that has too many dependants; nil if none is refused. `read`: see deciding_job.
local function refused_parents(p, new_jobs, is_new, unfinished, read)
  local counts = {}
  for i = 1, #new_jobs do
    for id in string.gmatch(new_jobs[i].after, '%S+') do
      local parent_id, parent, _ = id, unfinished[id], nil
      if not is_new[id] and not parent then
        parent_id, _, parent = deciding_job(p, id, read)
        if not parent_id then
          local text = ' There is no such job in the partition of the group, and no such ref in this call.'
          return refuse('INVALID', id .. text)
        end
      end
      if parent and not RETENTION_S[parent.status] then
        counts[parent_id] = (counts[parent_id] or call('ZCARD', after_key(p, parent_id))) + 1
        if counts[parent_id] > MOST_DEPENDANTS then
          return refuse('LIMIT_REACHED', 'For the job ' .. parent_id .. ' ' .. digits(MOST_DEPENDANTS) .. ' jobs wait already.')
        end
      end
    end
  end
end
