-- For retry: the settings and the spec of a new job that differs from the one that it repeats.

-- The spec with another image, a JSON string, and another payload, a JSON string or null for none; '' leaves what there is.
local function changed_spec(spec, image, payload)
  local BEFORE_IMAGE, BEFORE_PAYLOAD = '{"image":', ',"payload":'
  local at = string.find(spec, '"' .. BEFORE_PAYLOAD .. '"', 1, true)
  if image == '' then image = string.sub(spec, #BEFORE_IMAGE + 1, at or -2) end
  if payload == '' then payload = at and string.sub(spec, at + 1 + #BEFORE_PAYLOAD, -2) or 'null' end
  return BEFORE_IMAGE .. image .. (payload == 'null' and '' or BEFORE_PAYLOAD .. payload) .. '}'
end

-- Settings and spec of a new job: those of the old one with this record, with the changes. It has the delay of the old job
-- only if `set` names one.
local function changed_job(p, id, record, set, image, payload)
  local whole = with_spec(p, id, record)
  local settings, spec = settings_of(whole), select(3, parse_record(whole))
  settings.delay = nil
  for name, value in string.gmatch(set, '"([a-z_]+)":(%w+)') do settings[name] = tonumber(value) end
  return settings, changed_spec(spec, image, payload)
end
