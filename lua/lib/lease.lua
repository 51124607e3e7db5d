-- Put before the scripts of those who hold jobs: whether a token may act, and how long its lease lasts.

local function lease_lost(p, group, id, job)
  return refuse('LEASE_LOST', job.deliveries .. ' ' .. (lease_ends(p, group, id) or 0))
end

-- nil when the token may act on the job, else the refusal
local function refusal(p, group, id, job, token)
  if not job then return not_found() end
  if job.status ~= 'running' then return wrong_state(job) end
  if token ~= '' and token ~= job.lease then return lease_lost(p, group, id, job) end
  if token == '' and call('HGET', group_key(p, group), 'require_lease') then return lease_lost(p, group, id, job) end
end

-- a time that a client gave, where it is not before the job nor over a minute ahead; else now
local function plausible(at, created_at, now)
  if not at or at > now + 60000 or at < tonumber(created_at) then return now end
  return at
end

-- the last five receipts of a job, a line each: those it had, and another one
local function receipts_with(before, receipt)
  if not before then return receipt end
  local lines = {}
  for line in string.gmatch(before .. '\n' .. receipt, '[^\n]+') do lines[#lines + 1] = line end
  return table.concat(lines, '\n', math.max(1, #lines - 4))
end

-- the end of a lease that begins now; a short one may last so much longer than the job's timeout, for its consumer to stop the
-- job and report
local function lease_end(job, now, grace_ms)
  local at = now + (job.lease_s or job.timeout or TIMEOUT_S) * 1000
  return job.deadline and math.min(at, job.deadline + grace_ms) or at
end
