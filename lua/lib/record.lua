-- For scripts that create or read jobs: builds and parses a record, the text in P:jobs.
--
-- Its parts have a space between them: settings (JSON of those that are not the default; missing if there are none), group_name,
-- created_at (ms), spec (JSON). A large spec is not in the record, but in the field `spec` of P:job:<id>.
local LARGE = 4096 -- bytes; a longer spec is large
local SPACE, BRACE, byte = 32, 123, string.byte
local H, PLUS = 104, 43 -- the settings of a job with hooks begin with `{"h`, and its execution ends with ` +` or ` ++`

local function build_record(settings, group, created_at, spec)
  return (settings == '' and '' or settings .. ' ') .. group .. ' ' .. created_at .. ' ' .. spec
end

-- The JSON of the settings, or ''.
local function settings_json(record) return byte(record) == BRACE and string.match(record, '^%S+') or '' end
-- One numeric setting; nil if it is the default.
local function setting_in(record, name) return tonumber(string.match(settings_json(record), '"' .. name .. '":(%d+)')) end
local function timeout_s(record) return byte(record) == BRACE and tonumber(string.match(record, '^%S-"timeout":(%d+)')) or TIMEOUT_S end

-- group_name, created_at and spec; nil if it is no record.
local function parse_record(record)
  local settings = settings_json(record)
  return string.match(record, '^(%S+) (%d+) (.*)$', settings == '' and 1 or #settings + 2)
end

-- The spec as it is in the record: '' for a large one, which is written to P:job:<id>.
local function store_large_spec(p, id, spec)
  if #spec <= LARGE then return spec end
  call('HSET', job_key(p, id), 'spec', spec)
  return ''
end

-- The length of a spec. '' means that it is in P:job:<id>, or missing (0).
local function spec_bytes(p, id, spec) return spec == '' and call('HSTRLEN', job_key(p, id), 'spec') or #spec end

-- The record with its spec, also a large one. nil if there is no record, or its large spec is missing.
local function with_spec(p, id, record)
  if not record or byte(record, -1) ~= SPACE then return record or nil end
  local spec = call('HGET', job_key(p, id), 'spec')
  return spec and record .. spec or nil
end

local function not_found() return refuse('NOT_FOUND', 'There is no such job in this group.') end
