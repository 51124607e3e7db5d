-- For admit and batch_retry: opens batches, and adds members to them.

-- The refusal of n new members; nil if none is refused. `asked` has the id of the batch, and the id and the lease of a running
-- member if the batch may be closed, with spaces; '' for jobs of no batch. `is_new`: the call opens the batch.
local function refused_members(p, group, asked, n, is_new)
  if asked == '' or is_new then return nil end
  local id, member, lease = string.match(asked, '^(%S+) ?(%S*) ?(%S*)$')
  local batch = find_batch(p, group, id)
  if not batch then return no_batch() end
  if batch.stopped then return refuse('WRONG_STATE', 'The batch was stopped: ' .. batch.stopped .. '.') end
  if member ~= '' then
    local job = find_job(p, group, member)
    local is_member = job and call('ZSCORE', unfinished_key(p, id), member)
    if not is_member or job.status ~= 'running' then return refuse('WRONG_STATE', 'The job is no running member of the batch.') end
    if job.lease ~= lease then return refuse('LEASE_LOST', job.deliveries .. ' ' .. (lease_end_of(p, group, member) or 0)) end
  elseif batch.open ~= '1' then
    return refuse('WRONG_STATE', 'The batch is closed: only a running member may add jobs, with its id and its lease.')
  end
  if batch.total + n > MOST_MEMBERS then
    return refuse('LIMIT_REACHED', 'A batch has ' .. digits(MOST_MEMBERS) .. ' members at most; it has ' .. batch.total .. '.')
  end
end

-- Stores a new batch. `words` are its fields and their values; open 0 closes it with the call that opens it.
local function open_batch(p, group, id, words, now)
  local key = batch_key(p, id)
  call('HSET', key, 'group', group, 'created_at', digits(now), 'total', 0, unpack(words))
  call('ZADD', set_key(p, group, 'batches'), digits(now), id)
  local end_within_s = tonumber(call('HGET', key, 'end_within') or nil)
  if not end_within_s then return end
  call('HSET', key, 'end_at', digits(now + end_within_s * 1000))
  set_batch_timer(p, group, id, now + end_within_s * 1000)
end

-- Counts new jobs as members.
local function add_members(p, id, ids, now)
  local scores = {}
  for i = 1, #ids do scores[2 * i - 1], scores[2 * i] = digits(now), ids[i] end
  call_many('ZADD', members_key(p, id), scores)
  call_many('ZADD', unfinished_key(p, id), scores)
  call('HINCRBY', batch_key(p, id), 'total', #ids)
  if #ids == 0 and call('HGET', batch_key(p, id), 'open') ~= '1' then settle_batch_later(p, id, now) end
end
