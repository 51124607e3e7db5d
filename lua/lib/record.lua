-- Put before the scripts that make jobs or look at them: the text that `jobs` has of one.
--
-- Its parts have a space between them: its settings, JSON of what is not the default, where there is any; group_name;
-- created_at, ms; its spec, JSON. A large spec is not in it, but in the job's own hash.
local LARGE = 4096 -- bytes; a spec of more is large
local SPACE, BRACE, byte = 32, 123, string.byte

local function text_of(settings, group, created_at, spec)
  return (settings == '' and '' or settings .. ' ') .. group .. ' ' .. created_at .. ' ' .. spec
end

-- the JSON of its settings, or ''
local function settings_in(text) return byte(text) == BRACE and string.match(text, '^%S+') or '' end
-- one of them that is a number, or nil where that is the default
local function setting_in(text, name) return tonumber(string.match(settings_in(text), '"' .. name .. '":(%d+)')) end
local function timeout_s(text) return byte(text) == BRACE and setting_in(text, 'timeout') or TIMEOUT_S end

-- group_name, created_at and spec; nil of what is no such text
local function parts_of(text)
  local settings = settings_in(text)
  return string.match(text, '^(%S+) (%d+) (.*)$', settings == '' and 1 or #settings + 2)
end

-- the spec as it stands in the text; a large one goes into the job's own hash
local function put_away(p, id, spec)
  if #spec <= LARGE then return spec end
  call('HSET', job_key(p, id), 'spec', spec)
  return ''
end

-- how long the spec is, which is '' where it is in the job's own hash
local function spec_bytes(p, id, spec) return spec == '' and call('HSTRLEN', job_key(p, id), 'spec') or #spec end

-- the text with its spec, where that is large too; nil when there is no job, or what is left of it is none
local function with_spec(p, id, text)
  if not text or byte(text, -1) ~= SPACE then return text or nil end
  local spec = call('HGET', job_key(p, id), 'spec')
  return spec and text .. spec or nil
end
