-- Put before the scripts that hand out: what they read of a job, and the writes that make it running.
local READ = { 'spec', 'created_at', 'timeout', 'deliveries', 'priority', 'delay', 'max_retries', 'retries_delay', 'retry_of' }

-- who found no jobs and waits, looks again more often than this; till then it is told of each group that comes into `ready`
local WAITING_MS = 5000
local function note_waiting(p) call('SET', p .. ':waiting', '1', 'PX', WAITING_MS) end

-- what is READ of a job; nil when the hash is gone, or what is left of it is no job
local function read(p, id)
  local job = call('HMGET', p .. ':job:' .. id, unpack(READ))
  return job[1] and job[2] and job or nil
end

-- make a job that was read running, and into what the reply has of it; the end of its lease, ms
local function hand_out(p, job, id, place, now, started_at, lease, lease_s)
  local key, token = p .. ':job:' .. id, lease .. '-' .. place
  local deliveries, ends = (job[4] or 0) + 1, now + (job[3] or TIMEOUT_S) * 1000
  job[10], job[11], job[12] = id, place, deliveries
  if lease_s == '' then
    call('HSET', key, 'status', 'running', 'deliveries', deliveries, 'started_at', started_at, 'lease', token)
    return ends
  end
  call('HSET', key, 'status', 'running', 'deliveries', deliveries, 'started_at', started_at, 'lease', token,
    'lease_s', lease_s, 'deadline', ends)
  return math.min(ends, now + lease_s * 1000)
end

-- what was handed out of a group that had room for `most`: out of `queued`, into `running`, whose flat scores and ids these are
local function file_running(p, group, ids, running, first_end, most, rate, now)
  many('ZREM', set_key(p, group, 'queued'), ids)
  if #running > 0 then
    many('ZADD', set_key(p, group, 'running'), running)
    set_timer(p, 'running', group, first_end)
  end
  if rate then spend(p, group, rate, #running / 2, now) end
  refresh_ready(p, group, not rate and most - #running / 2)
end
