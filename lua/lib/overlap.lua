-- For fire: what a fire does while a job of an earlier one has not ended.
local MOST_HELD, MOST_BACKFILLED, MOST_OPEN, MOST_RETRIES, MOST_PARENTS = 100, 1000, 1200, 25, 100

-- The id and the fields of a job, or of the last of its retries, that has not ended; nil if all have.
local function open_job(p, group, id)
  for _ = 0, MOST_RETRIES do
    local found = find_job(p, group, id, 'retry_at', 'needs')
    if not found then return nil end
    if not RETENTION_S[found.status] then return id, found end
    if not found.retry_at then return nil end
    id = found.retry_at
  end
end

-- Drops jobs that have ended from one end of the list of open ones: 'LPOP' from the oldest on, 'RPOP' from the newest on. Returns
-- the job at this end; nil if none is open.
local function drop_ended(p, group, key, pop)
  local at = pop == 'LPOP' and 0 or -1
  while true do
    local listed_id = call('LINDEX', key, at)
    if not listed_id then return nil end
    local id, found = open_job(p, group, listed_id)
    if id then
      if id ~= listed_id then call('LSET', key, at, id) end
      return id, found
    end
    call(pop, key)
  end
end

-- The ids of open jobs, the oldest first, each once: a job that other fires replaced is listed for each of them.
local function open_ids(p, group, key, n)
  local ids, is_found = {}, {}
  for _, listed_id in ipairs(call('LRANGE', key, -n, -1)) do
    local id = open_job(p, group, listed_id)
    if id and not is_found[id] then ids[#ids + 1], is_found[id] = id, true end
  end
  return ids
end

-- What the policy says of the jobs that are open: why the time is skipped, or nil; the job in the way; and the jobs that the new
-- one waits for.
local function judge(p, group, key, overlap, is_backfill)
  local oldest_id = drop_ended(p, group, key, 'LPOP')
  if overlap == 'allow' or not oldest_id then return nil, nil, {} end
  local newest_id, newest = drop_ended(p, group, key, 'RPOP')
  local most = is_backfill and MOST_BACKFILLED or MOST_HELD
  if overlap == 'skip' or overlap == 'queue' and newest.needs then return 'overlap', newest_id end
  if overlap == 'queue_all' and call('LLEN', key) > most then return 'limit', newest_id end
  if overlap == 'cancel' then return nil, nil, {} end
  return nil, nil, newest.needs and { newest_id } or open_ids(p, group, key, MOST_PARENTS)
end

-- Cancels the open jobs of a schedule, given their ids. Returns how many there were. They stay in the list, since they may be retried.
local function cancel_open(p, group, ids, text, now)
  for _, id in ipairs(ids) do
    local found = find_job(p, group, id)
    finish_without_report(p, group, id, found, 'cancelled', 'client_request', now)
    call('HSET', job_key(p, id), 'error', text)
    note_move(p, id, now, 'cancelled', '', found, 'cancelled')
    if found.status == 'running' then add_notice(p, 'cancelled ' .. group .. ' ' .. id) end
  end
  return #ids
end
