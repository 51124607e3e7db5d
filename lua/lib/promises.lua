-- For check: what jobs promise each other. Each function calls add_finding(id, problem, fix); fix is a function that repairs it.

-- For how many jobs a job waits: for each of these, or the last of its automatic retries, that has it as a dependant.
local function count_needs(p, member, parents)
  local n, is_counted = 0, {}
  for id in string.gmatch(parents, '%S+') do
    while id and not call('ZSCORE', after_key(p, id), member) do id = call('HGET', job_key(p, id), 'retry_at') or nil end
    if id and not is_counted[id] then n, is_counted[id] = n + 1, true end
  end
  return n
end

-- A held job waits for as many jobs as have it as a dependant, and for one at least.
local function check_waiting(p, now, group, id, found, add_finding)
  local key, waits = job_key(p, id), found.status == 'delayed' and is_held(p, group, id)
  local needs, after, leader = unpack(call('HMGET', key, 'needs', 'after', 'leader'))
  if not needs and not waits then return end
  if needs == 'key' and waits then return end -- lane_promises.lua
  local counted = count_needs(p, group .. ' ' .. id, (after or '') .. ' ' .. (leader or ''))
  if found.status ~= 'delayed' then
    add_finding(id, 'is ' .. found.status .. ', but waits for other jobs', function() return call('HDEL', key, 'needs') end)
  elseif counted == 0 then
    add_finding(id, 'is held, but waits for no job', function()
      enter(p, group, id, found, now)
      refresh_ready(p, group)
    end)
  elseif counted ~= tonumber(needs or 0) then
    local problem = 'says that it waits for ' .. (needs or 0) .. ' jobs; it waits for ' .. counted
    add_finding(id, problem, function() call('HSET', key, 'needs', counted) end)
  end
end

-- The dependants of a job are held; it looks at 1,000 of them.
local function check_dependants(p, id, add_finding)
  local members = call('ZRANGE', after_key(p, id), 0, 999)
  for i = 1, #members do
    local group, dependant_id = string.match(members[i], '^(%S+) (%S+)$')
    if tonumber(call('ZSCORE', set_key(p, group, 'delayed'), dependant_id) or HELD) < HELD then
      add_finding(dependant_id, 'waits for other jobs, but is not held', function() return hold(p, group, dependant_id) end)
    end
  end
end

-- An unfinished job holds its key or follows the job that does; one with a window may have lost it, and so may one that holds
-- it until its delivery: it may have been delivered and released.
local function check_key(p, now, group, id, found, add_finding)
  local key, unique_until = unpack(call('HMGET', job_key(p, id), 'unique_key', 'unique_until'))
  if not key or RETENTION_S[found.status] or unique_until ~= 'over' then return end
  local holder, follower = stored_key(p, group, key)
  if holder == id or follower == id then return end
  add_finding(id, 'does not hold its unique key', function()
    if holder_of(p, group, key, now) then return call('HDEL', job_key(p, id), unpack(UNIQUE_FIELDS)) end
    write_key(p, group, key, id, nil, 0)
  end)
end

-- Keys of a group are those of jobs, and those with a window have a timer. It looks at about 1,000 of them.
local function check_keys(p, group, add_finding)
  local found = call('HSCAN', set_key(p, group, 'unique'), '0', 'COUNT', 1000)[2]
  for i = 1, #found, 2 do
    local key = found[i]
    local holder_id, follower_id, ends = stored_key(p, group, key)
    local holder, follower = holder_id and find_job(p, group, holder_id), follower_id and find_job(p, group, follower_id)
    local is_kept = holder and (not RETENTION_S[holder.status] or call('ZSCORE', p .. ':settle', holder_id))
    if ends == 0 and not is_kept and not (follower and not RETENTION_S[follower.status]) then
      add_finding('', 'has a unique key that no job holds: ' .. key, function() free_key(p, group, key) end)
    elseif ends and ends > 0 and tonumber(call('ZSCORE', set_key(p, group, 'windows'), key) or 0) ~= ends then
      add_finding('', 'has a unique key whose window never ends: ' .. key, function()
        write_key(p, group, key, holder_id, follower_id, ends)
      end)
    end
  end
end

local function check_promises(p, now, group, id, found, add_finding)
  check_waiting(p, now, group, id, found, add_finding)
  check_end(p, now, id, add_finding)
  check_dependants(p, id, add_finding)
  check_key(p, now, group, id, found, add_finding) check_place(p, now, group, id, found, add_finding)
end
