-- For the verbs of consumers: checks a lease token, and computes the end of a lease.

local function lease_lost(p, group, id, job)
  return refuse('LEASE_LOST', job.deliveries .. ' ' .. (lease_end_of(p, group, id) or 0))
end

-- nil if the token holds the job, else the refusal. '' is no token: it is accepted unless the group has require_lease.
local function refusal(p, group, id, job, token)
  if not job then return not_found() end
  if token ~= '' and token ~= job.lease and call('HGET', job_key(p, id), 'waited') == token then return refuse('LEASE_LOST', 'waits') end
  if job.status ~= 'running' then return wrong_state(job) end
  if token ~= '' and token ~= job.lease then return lease_lost(p, group, id, job) end
  if token == '' and call('HGET', group_key(p, group), 'require_lease') then return lease_lost(p, group, id, job) end
end

-- A time from a client (ms) if it is between the job's creation and one minute from now; else now.
local function plausible(at, created_at, now)
  if not at or at > now + 60000 or at < tonumber(created_at) then return now end
  return at
end

-- The last five receipts of a job, one line each, with a new one.
local function receipts_with(before, receipt)
  if not before then return receipt end
  local lines = {}
  for line in string.gmatch(before .. '\n' .. receipt, '[^\n]+') do lines[#lines + 1] = line end
  return table.concat(lines, '\n', math.max(1, #lines - 4))
end

-- The end of a lease that begins now (ms), never after end_before. A short lease ends grace_ms after the job's deadline at the
-- latest: in that time its consumer stops the job and reports. `lease_s`: its length if the consumer gave one.
local function new_lease_end(job, now, grace_ms, lease_s)
  local at = now + (lease_s or job.lease_s or job.timeout or TIMEOUT_S) * 1000
  if job.deadline then at = math.min(at, job.deadline + grace_ms) end
  return job.end_before and math.min(at, job.end_before) or at
end
