-- touch: give the deliveries that hold jobs another lease.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] grace_ms   how much longer than a job's timeout a short lease may last, ms
-- ARGV[3] runs       of jobs of a group: group, how many; then for each job: id lease; lease is the token, or '' (an old
--                    client)
--
-- moves   running -> running
-- reply   for each job: the new end of its lease, ms; or its refusal
-- refuses NOT_FOUND WRONG_STATE LEASE_LOST
-- flags   allow-oom
-- with    record job lease
local p, now, grace_ms, at = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), 3

-- what is known of a job, which is running in the group and has this text in `executions`, or is looked for
local function look(group, id, is_running, run)
  if not is_running then return find(p, group, id) end
  local job = { status = 'running' }
  read_run(job, run)
  return job
end

local items = {}
while at < #ARGV do
  local group, n = ARGV[at], ARGV[at + 1]
  local ids, running, first_end, texts = {}, {}, math.huge, nil
  for i = 1, math.min(n, 1000) do ids[i] = ARGV[at + 2 * i] end -- of more each is looked for
  local scores = call('ZMSCORE', set_key(p, group, 'running'), unpack(ids))
  local runs = call('HMGET', executions_key(p), unpack(ids))
  at = at + 2
  for i = 1, n do
    local id, lease = ARGV[at], ARGV[at + 1]
    local job = look(group, id, scores[i], runs[i])
    if scores[i] and not job.lease_s then
      texts = texts or call('HMGET', jobs_key(p), unpack(ids))
      job.timeout = timeout_s(texts[i] or '')
    end
    local refused = refusal(p, group, id, job, lease)
    if not refused then
      local ends = lease_end(job, now, grace_ms)
      running[#running + 1] = ends; running[#running + 1] = id
      first_end = math.min(first_end, ends)
    end
    items[#items + 1] = refused or running[#running - 1]
    at = at + 2
  end
  if #running > 0 then
    many('ZADD', set_key(p, group, 'running'), running)
    set_timer(p, 'running', group, first_end)
  end
end
return replies(items)
