-- For scripts that create, move or check jobs with deadlines: the settings start_before and end_before, ms. While such a job is
-- not finished, P:group:<g>:expiring has it by its next deadline: a delivered job has started, so only end_before counts then.
local PLUS = 43 -- an execution of a job with hooks ends with ` +`

-- The next deadline of a job with these settings and this number of deliveries, ms; nil for none.
local function deadline_of(settings, deliveries)
  local at = deliveries == 0 and settings.start_before or settings.end_before
  return at and settings.end_before and math.min(at, settings.end_before) or at
end

-- Brings the entry of an unfinished job in `expiring` up to date.
local function set_deadline(p, group, id, settings, deliveries)
  local at = deadline_of(settings, deliveries)
  if not at then return call('ZREM', set_key(p, group, 'expiring'), id) end
  call('ZADD', set_key(p, group, 'expiring'), digits(at), id)
  set_timer(p, 'expiring', group, at)
end

-- Notes the delivery of a job with hooks in `batch`, for write_deadlines. Returns the end of its lease.
local function deliver_hooked(batch, group, id, record, deliveries, lease_end)
  local settings = { start_before = setting_in(record, 'start_before'), end_before = setting_in(record, 'end_before') }
  batch.hooked[#batch.hooked + 1] = { group.name, id, settings, deliveries }
  return math.min(lease_end, settings.end_before or lease_end)
end

local function write_deadlines(p, hooked)
  for i = 1, #hooked do set_deadline(p, unpack(hooked[i])) end
end
