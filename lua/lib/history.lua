-- For scripts that change a job as few jobs are changed: the field `history` of P:job:<id> says what was done, when and by whom.
-- What is kept anyway, such as the creation and the last delivery, has no line there.
local MOST_NOTES, MOST_NOTES_BYTES = 10, 2048

local function json_text(text)
  if not string.find(text, '[%z\1-\31"\\]') then return '"' .. text .. '"' end
  local escaped = string.gsub(text, '[%z\1-\31"\\]', function(letter) return string.format('\\u%04x', byte(letter)) end)
  return '"' .. escaped .. '"'
end

-- A history with one more line {"at":ms,"what":word,"by":actor,"n":number,…}; without an actor ('') it has no `by`, and the
-- first line of the job no `n`. `...` are more names and values. The last 10 lines are kept, and fewer if they have more than
-- 2,048 bytes.
local function history_with(before, now, what, by, ...)
  local more, lines = { ... }, {}
  local line = '{"at":' .. digits(now) .. ',"what":' .. json_text(what)
  if by ~= '' then line = line .. ',"by":' .. json_text(by) end
  local newest = string.match(before, '[^\n]+$')
  if newest then line = line .. ',"n":' .. (string.match(newest, '"n":(%d+)') or 1) + 1 end
  for i = 1, #more, 2 do
    local value = more[i + 1]
    line = line .. ',"' .. more[i] .. '":' .. (type(value) == 'number' and digits(value) or json_text(value))
  end
  if not newest then return line .. '}' end
  for each in string.gmatch(before .. '\n' .. line .. '}', '[^\n]+') do lines[#lines + 1] = each end
  local first, size = #lines, #lines[#lines]
  while first > 1 and #lines - first + 1 < MOST_NOTES and size + 1 + #lines[first - 1] <= MOST_NOTES_BYTES do
    first = first - 1
    size = size + 1 + #lines[first]
  end
  return table.concat(lines, '\n', first)
end
local function note(key, ...) call('HSET', key, 'history', history_with(call('HGET', key, 'history') or '', ...)) end

-- Notes something that happened to a job while it was in a status; of a running one also which delivery ends, and when it began.
local function note_move(p, id, now, what, by, job, to, ...)
  if job.status == 'running' then
    local delivery, started_at = job.deliveries, job.started_at or now
    note(job_key(p, id), now, what, by, 'from', 'running', 'to', to, 'delivery', delivery, 'started_at', started_at, ...)
  else
    note(job_key(p, id), now, what, by, 'from', job.status, 'to', to, ...)
  end
end
