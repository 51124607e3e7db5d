-- For next and next_image: the lease of a job with hooks.

-- A job with deadlines has started now, so only end_before still counts; the timer for `expiring` is as early already. Returns the
-- end of its lease, and how its execution ends: `how` with the word for its hooks.
local function limit_lease(p, group, id, record, lease_end, how)
  local end_before = setting_in(record, 'end_before')
  how = how .. (setting_in(record, 'hooks') >= 2 and ' ++' or ' +')
  if not end_before then
    call('ZREM', set_key(p, group, 'expiring'), id)
    return lease_end, how
  end
  call('ZADD', set_key(p, group, 'expiring'), digits(end_before), id)
  return math.min(lease_end, end_before), how
end
