-- Put before the scripts that hand out: what they read of a job, and the writes that make it running.
local READ = { 'spec', 'created_at', 'timeout', 'deliveries', 'priority', 'delay', 'max_retries', 'retries_delay', 'retry_of' }

-- who found no jobs and waits, looks again more often than this; till then it is told of each group that comes into `ready`
local WAITING_MS = 5000
local function note_waiting(p) call('SET', p .. ':waiting', '1', 'PX', WAITING_MS) end

-- the job for the reply and the end of its lease, ms; nil when the hash is gone, or what is left of it is no job
local function hand_out(p, id, place, now, started_at, lease, lease_s)
  local key = p .. ':job:' .. id
  local job = call('HMGET', key, unpack(READ))
  if not (job[1] and job[2]) then return nil end
  local deliveries, ends = (job[4] or 0) + 1, now + (job[3] or TIMEOUT_S) * 1000
  call('HSET', key, 'status', 'running', 'deliveries', deliveries, 'started_at', started_at, 'lease', lease .. '-' .. place)
  if lease_s ~= '' then
    call('HSET', key, 'lease_s', lease_s, 'deadline', ends)
    ends = math.min(ends, now + lease_s * 1000)
  end
  job[10], job[11], job[12] = id, place, deliveries
  return job, ends
end

-- what was handed out of a group: out of `queued`, into `running`, whose flat scores and ids these are
local function file_running(p, group, ids, running, first_end, rate, now)
  many('ZREM', set_key(p, group, 'queued'), ids)
  if #running > 0 then
    many('ZADD', set_key(p, group, 'running'), running)
    set_timer(p, 'running', group, first_end)
  end
  if rate then spend(p, group, rate, #running / 2, now) end
  refresh_ready(p, group)
end
