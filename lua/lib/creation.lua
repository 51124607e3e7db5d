-- For admit: the settings of new jobs with times.

-- A time in the words of admit, ms: a time, or + and ms from now on; nil for ''.
local function time_in(text, now) return tonumber(text) and (byte(text) == PLUS and now or 0) + tonumber(text) end

-- The settings of a job with its times. A delay is in s, rounded up; `due` has the ms if it is no number of s from now.
local function full_settings(settings, now, due, deadlines, bytes)
  local words = {}
  local function add(name, value) if value then words[#words + 1] = '"' .. name .. '":' .. digits(value) end end
  add('hooks', (deadlines.start_before or deadlines.end_before) and 1)
  if settings ~= '' then words[#words + 1] = string.sub(settings, 2, -2) end
  if due > now then
    add('delay', math.ceil((due - now) / 1000))
    add('due', (due - now) % 1000 > 0 and due)
  end
  add('start_before', deadlines.start_before)
  add('end_before', deadlines.end_before)
  add('bytes', bytes)
  return #words > 0 and '{' .. table.concat(words, ',') .. '}' or ''
end
