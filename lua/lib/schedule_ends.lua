-- For settle and fire: what the end of a job means for the schedule that made it.

-- The line of a fire once its job, `id`, has ended: with its outcome, or with the retry that is its job now. nil for another line,
-- and once another schedule has replaced what the job does.
local function ended_line(line, id, retry_of, outcome, retry_at)
  local words = {}
  for word in string.gmatch(line, '%S+') do words[#words + 1] = word end
  if words[3] ~= 'fired' or words[9] == 'replaced' or words[8] ~= id and words[8] ~= retry_of then return nil end
  words[8], words[9] = retry_at or id, retry_at and '-' or outcome
  return table.concat(words, ' ')
end

-- Notes the outcome of a job in the history of a schedule.
local function note_outcome(key, id, retry_of, outcome, retry_at)
  for i, line in ipairs(call('LRANGE', key .. ':fires', 0, MOST_FIRES - 1)) do
    local ended = ended_line(line, id, retry_of, outcome, retry_at)
    if ended then call('LSET', key .. ':fires', i - 1, ended) end
  end
  local last = ended_line(call('HGET', key, 'last') or '', id, retry_of, outcome, retry_at)
  if last then call('HSET', key, 'last', last) end
end

-- Counts a final failure, and pauses the schedule after as many in a row as its pause_after says.
local function count_failed(p, group, name, key, now)
  local n, most = call('HINCRBY', key, 'failures', 1), tonumber(call('HGET', key, 'pause_after') or 0)
  call('HINCRBY', key, 'failed', 1)
  if most == 0 or n < most or call('HGET', key, 'state') ~= 'active' then return end
  local because = n == 1 and 'The last job failed.' or 'The last ' .. n .. ' jobs failed.'
  call('HSET', key, 'state', 'paused', 'paused_at', digits(now), 'paused_because', because)
  call('HINCRBY', key, 'revision', 1)
  call('ZADD', p .. ':schedules', digits(NEVER), group .. ':' .. name)
end

-- Notes the end of a job with this record, of a schedule.
local function schedule_ends(p, group, id, record, status, now)
  local name = string.match(settings_json(record), '"schedule":"([^"]+)"')
  local key, own = schedule_key(p, group, name or ''), job_key(p, id)
  if not name or call('EXISTS', key) == 0 then return end
  local retry_of, retry_at = string.match(record, '^%S*"retry_of":"(%w+)"'), call('HGET', own, 'retry_at') or nil
  note_outcome(key, id, retry_of, status, retry_at)
  if status == 'succeeded' then return call('HDEL', key, 'failures') end
  if status == 'failed' and not retry_at and call('HSETNX', own, 'counted', 1) == 1 then count_failed(p, group, name, key, now) end
end
