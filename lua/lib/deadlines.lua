-- For scripts that create, move or check jobs with deadlines: the settings start_before and end_before, ms. While such a job is
-- not finished, P:group:<g>:expiring has it by its next deadline: a delivered job has started, so only end_before counts then.

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
