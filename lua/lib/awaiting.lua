-- For scripts that have jobs wait for others.

-- Whether a job has ended, and can no longer be retried automatically. `retry_at` is that field of the job.
local function is_final(parent, retry_at)
  return RETENTION_S[parent.status] and not (parent.status == 'failed' and parent.max_retries and retry_at)
end

-- The id, group and fields of the job that decides for a parent: the last of its automatic retries, or itself. nil if it is gone.
-- `read` keeps these by the parent's id, for calls in which many jobs wait for the same ones, as long as nothing ends; or nil.
local function deciding_job(p, id, read)
  local parent_id, known = id, read and read[id]
  if known then return known.id, known.group, known end
  while true do
    local group = parse_record(call('HGET', jobs_key(p), id) or '')
    local parent = group and find_job(p, group, id, 'retry_at')
    if not parent then return nil end
    if not RETENTION_S[parent.status] or is_final(parent, parent.retry_at) then
      parent.id, parent.group = id, group
      if read then read[parent_id] = parent end
      return id, group, parent
    end
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

-- Notes in a job that has ended one more that waited for it. What it has already is read once.
local function note_before(p, parent, dependant_id)
  local before = parent.before or call('HGET', job_key(p, parent.id), 'before') or ''
  local n = parent.n_before or select(2, string.gsub(before, '%S+', ''))
  if n < MOST_BEFORE then
    before, n = (before ~= '' and before .. ' ' or '') .. dependant_id, n + 1
    call('HSET', job_key(p, parent.id), 'before', before)
  end
  parent.before, parent.n_before = before, n
end

-- Has a job, `group id`, wait for these jobs, unless it waits for them already; for how many more. One that failed already has its
-- end settled once more. `is_known` has the jobs that it waits for; `after` their ids, if it keeps their results; `read`: as above.
local function wait_for(p, member, parents, is_any_end, now, is_known, after, read)
  local needs, dependant_id = 0, string.match(member, '%S+$')
  for i = 1, #parents do
    local id, _, parent = deciding_job(p, parents[i], read)
    local is_over = RETENTION_S[parent.status]
    if after and is_over then keep_input(p, dependant_id, after, id, parent.status) end
    if is_over and (is_any_end or parent.status == 'succeeded') then
      note_before(p, parent, dependant_id)
    elseif not is_known[id] then
      needs, is_known[id] = needs + 1, true
      call('ZADD', after_key(p, id), is_any_end and 1 or 0, member)
      if not parent.is_hooked then hook(p, id, parent.record, parent.execution, parent.status == 'running') end
      parent.is_hooked = true
      if is_over then settle_later(p, { id }, now, {}) end
    end
  end
  return needs
end
