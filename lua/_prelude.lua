-- Put before every script: keys, time, refusals, the ready list and the timers. p is KEYS[1], the partition.
local call = redis.call
local STEP = 2251799813685248 -- 2^51: between the places of two priorities
local TIMEOUT_S, RETRIES_DELAY_S, DELIVERY_LIMIT = 60, 60, 5
local RETENTION_S = { succeeded = 86400, failed = 604800, cancelled = 86400 }
local READ = { 'group_name', 'status', 'created_at', 'place', 'priority', 'timeout', 'max_retries', 'retries_delay',
  'deliveries', 'started_at', 'completed_at', 'expires_at', 'lease', 'lease_s', 'deadline', 'handed_out_by',
  'finished_by', 'retry_at', 'log_bytes' }

local function job_key(p, id) return p .. ':job:' .. id end
local function group_key(p, group) return p .. ':group:' .. group end
local function set_key(p, group, set) return p .. ':group:' .. group .. ':' .. set end
local function whole(n) return string.format('%.0f', n) end

-- ms since 1970: the server's clock, unless a test gives the time
local function clock(now)
  if now ~= '' then return tonumber(now) end
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function refuse(word, detail) return redis.error_reply(word .. ' ' .. detail) end
local function not_found() return refuse('NOT_FOUND', 'There is no such job in this group.') end
local function wrong_state(job, note)
  local since = job.completed_at or job.started_at or job.created_at
  return refuse('WRONG_STATE', job.status .. ' ' .. since .. (note and ' ' .. note or ''))
end
local function lease_lost(job) return refuse('LEASE_LOST', job.deliveries .. ' ' .. job.expires_at) end

-- of many items: a lone refusal is the reply itself, so that errorstats counts it; among others it is its text alone
local function replies(items)
  if #items == 1 and items[1].err then return items[1] end
  for i = 1, #items do if items[i].err then items[i] = { items[i].err } end end
  return items
end

-- what scripts need to know of a job; nil when there is none, or it is another group's
local function find(p, group, id)
  local job, values = {}, call('HMGET', job_key(p, id), unpack(READ))
  for i = 1, #READ do job[READ[i]] = values[i] or nil end
  if job.group_name == group then return job end
end

-- the whole job as a reply: its id, then field, value, field, value
local function row(p, id)
  local flat = call('HGETALL', job_key(p, id))
  table.insert(flat, 1, id)
  return flat
end

local function add_all(key, pairs)
  for i = 1, #pairs, 4000 do call('ZADD', key, unpack(pairs, i, math.min(i + 3999, #pairs))) end
end
local function drop_all(key, ids)
  for i = 1, #ids, 4000 do call('ZREM', key, unpack(ids, i, math.min(i + 3999, #ids))) end
end

-- how many jobs the group may hand out now
local function room(p, group)
  local settings = call('HMGET', group_key(p, group), 'paused', 'max_concurrency')
  if settings[1] then return 0 end
  return settings[2] and math.max(0, settings[2] - call('ZCARD', set_key(p, group, 'running'))) or math.huge
end

-- `ready` has the group exactly while it may hand out a job; who waits is told when it comes in
local function refresh_ready(p, group)
  local head = call('ZRANGE', set_key(p, group, 'queued'), 0, 0, 'WITHSCORES')
  if not head[1] or room(p, group) == 0 then
    call('ZREM', p .. ':ready', group)
  elseif call('ZADD', p .. ':ready', head[2], group) == 1 then
    call('PUBLISH', p .. ':wake', group)
  end
end

-- a timer may be early, never late; the reapers are told of a new first one
local function set_timer(p, set, group, at)
  local due, name = p .. ':due', set .. ':' .. group
  if call('ZADD', due, 'LT', 'CH', whole(at), name) == 1 and call('ZRANGE', due, 0, 0)[1] == name then
    call('PUBLISH', p .. ':timer', whole(at))
  end
end
