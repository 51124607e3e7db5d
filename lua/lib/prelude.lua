-- For every script: keys, clock, refusals, the ready index and the timers. p is KEYS[1], the partition.
local call = redis.call
local STEP = 2251799813685248 -- 2^51: the distance between the ranks of two priorities
local MOST_LEAD = 2000000 -- that of priority 2 with the highest priority_boost: such ranks are below those of priority 0
local TIMEOUT_S, RETRIES_DELAY_S, DELIVERY_LIMIT = 60, 60, 5
local RETENTION_S = { succeeded = 86400, failed = 604800, cancelled = 86400 }

local function jobs_key(p) return p .. ':jobs' end
local function job_key(p, id) return p .. ':job:' .. id end
local function executions_key(p) return p .. ':executions' end
local function group_key(p, group) return p .. ':group:' .. group end
local function set_key(p, group, set) return p .. ':group:' .. group .. ':' .. set end
local function digits(n) return string.format('%d', n) end -- a number as text, without an exponent

-- ms since 1970: the server's clock, unless a test passes `now`.
local function clock(now)
  if now ~= '' then return tonumber(now) end
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function refuse(word, detail) return redis.error_reply(word .. ' ' .. detail) end

-- The reply of a script with many items. A single refusal is an error reply, so that errorstats counts it; among several items
-- it is text.
local function replies(items)
  if #items == 1 and type(items[1]) == 'table' and items[1].err then return items[1] end
  for i = 1, #items do if type(items[i]) == 'table' then items[i] = items[i].err or items[i] end end
  return items
end

-- ZADD, ZREM, HSET or HDEL with any number of values.
local function call_many(command, key, values)
  local n = #values
  for i = 1, n, 4000 do call(command, key, unpack(values, i, math.min(i + 3999, n))) end
end

-- How many jobs the group may dispatch now by its settings (rate_limit.lua limits the speed); its rate_limit and its env_vars.
-- A group in `ready` has no timer of its rate. `settings`: the values of these fields if the caller read them.
local function room(p, group, is_ready, settings)
  settings = settings or call('HMGET', group_key(p, group), 'paused', 'max_concurrency', 'rate_limit', 'env_vars')
  if settings[1] or (settings[3] and not is_ready and call('ZSCORE', p .. ':due', 'rate:' .. group)) then return 0 end
  local most = settings[2] and math.max(0, settings[2] - call('ZCARD', set_key(p, group, 'running'))) or math.huge
  return most, settings[3] or nil, settings[4]
end

-- `ready` has a group exactly while it may dispatch a job. A group that comes in is published to brokers with long polls. Its score
-- is the rank of its first job; in fair order the number of its turn (turns.lua), which it keeps as long as it is in `ready`. `is_free`: it has no settings.
local in_turns -- 1 in fair order; read once per call
local function refresh_ready(p, group, is_free)
  local head, ready = call('ZRANGE', set_key(p, group, 'queued'), 0, 0, 'WITHSCORES'), p .. ':ready'
  if not head[1] or not is_free and room(p, group) == 0 then
    if call('ZREM', ready, group) == 1 then call('HDEL', p .. ':turns', group) end
    return
  end
  local score, band = head[2], math.floor((head[2] + MOST_LEAD) / STEP)
  in_turns = in_turns or call('HEXISTS', p .. ':modes', 'order')
  if in_turns == 1 then
    local turn = tonumber(call('ZSCORE', ready, group) or nil)
    if turn and math.floor((turn + MOST_LEAD) / STEP) == band then return end
    local is_lower = turn and band * STEP > turn -- its jobs of a higher priority are gone
    score = band * STEP + (is_lower and turn % STEP or call('INCR', p .. ':sequence'))
    local noted, before = is_lower and call('HGET', p .. ':turns', group) or '', nil
    for at in string.gmatch(noted, '(%d+) %d+') do before = math.floor(at / STEP) == band and at or before end
    if is_lower and not before then call('HSET', p .. ':turns', group, noted .. ' ' .. digits(score) .. ' 0') end
    score = before or score
  end
  if call('ZADD', ready, score, group) == 1 and call('EXISTS', p .. ':pollers') == 1 then call('PUBLISH', p .. ':notify', group) end
end

-- Sets timers: ms, set:group, ms, set:group… A timer may be early, never late. A new first timer is published to the reapers.
local function set_timers(p, timers)
  if #timers == 0 or call('ZADD', p .. ':due', 'LT', 'CH', unpack(timers)) == 0 then return end
  local name, at = unpack(call('ZRANGE', p .. ':due', 0, 0, 'WITHSCORES'))
  for i = 1, #timers, 2 do
    if timers[i + 1] == name and timers[i] == tonumber(at) then return call('PUBLISH', p .. ':timer', at) end
  end
end
local function set_timer(p, set, group, at) set_timers(p, { at, set .. ':' .. group }) end
