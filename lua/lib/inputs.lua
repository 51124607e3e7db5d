-- For scripts about what a job gets from the jobs that it waited for. P:inputs:<id> has by the id of each in `after` how it ended, a
-- space, and its result; in place of one that is too large `!` and its bytes. The field `bytes` has the bytes of the results that
-- are kept. The jobs have `inputs` of 1 in their settings.
local LARGEST_INPUT, LARGEST_INPUTS, MOST_RETRIES, MARK = 16384, 262144, 25, 33
local function inputs_key(p, id) return p .. ':inputs:' .. id end

-- Whether a text of ids, with spaces, has this one.
local function has_id(ids, id) return ids == id or string.find(' ' .. ids .. ' ', ' ' .. id .. ' ', 1, true) ~= nil end

-- The id under which a job waits for this one: its own, or that of a job which it retries; nil if the job waits for none of these.
local function id_in_after(p, after, id)
  for _ = 0, MOST_RETRIES do
    if not id or has_id(after, id) then return id end
    id = string.match(settings_json(call('HGET', jobs_key(p), id) or ''), '"retry_of":"([^"]+)"')
  end
end

-- Keeps for a job that waits for the jobs in `after` how one of them ended, with its result; `result` is that if it was read already.
local function keep_input(p, id, after, parent_id, status, result)
  local name, key = id_in_after(p, after, parent_id), inputs_key(p, id)
  if not name or not RETENTION_S[status] then return end
  result = result or call('HGET', job_key(p, parent_id), 'result') or ''
  if result == '' then return call('HSETNX', key, name, status .. ' ') end
  if call('HEXISTS', key, name) == 1 then return end
  local bytes = tonumber(call('HGET', key, 'bytes') or 0) + #result
  if #result > LARGEST_INPUT or bytes > LARGEST_INPUTS then
    result = '!' .. #result
  else
    call('HSET', key, 'bytes', digits(bytes))
  end
  call('HSET', key, name, status .. ' ' .. result)
end

-- For export and restore: the inputs of a job are one more field there, lines of id, status and result.
local function append_inputs(p, id, row)
  local kept, lines, bytes = call('HGETALL', inputs_key(p, id)), {}, 0
  for i = 1, #kept, 2 do
    if kept[i] ~= 'bytes' then lines[#lines + 1] = kept[i] .. ' ' .. kept[i + 1] end
    bytes = bytes + #kept[i + 1]
  end
  if lines[1] then row[#row + 1] = 'inputs'; row[#row + 1] = table.concat(lines, '\n') end
  return bytes
end

local function restore_inputs(p, id)
  local bytes, key = 0, inputs_key(p, id)
  for name, status, result in string.gmatch(call('HGET', job_key(p, id), 'inputs') or '', '(%S+) (%l+) ([^\n]*)') do
    call('HSET', key, name, status .. ' ' .. result)
    if byte(result) ~= MARK then bytes = bytes + #result end
  end
  if bytes > 0 then call('HSET', key, 'bytes', digits(bytes)) end
  call('HDEL', job_key(p, id), 'inputs')
end
