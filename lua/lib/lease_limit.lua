-- For next and next_image: the lease of a job with deadlines.

-- A job with deadlines has started now, so only end_before still counts. Returns the end of its lease.
local function limit_lease(p, group, id, record, lease_end)
  local end_before = setting_in(record, 'end_before')
  if not end_before then
    call('ZREM', set_key(p, group, 'expiring'), id)
    return lease_end
  end
  call('ZADD', set_key(p, group, 'expiring'), digits(end_before), id)
  set_timer(p, 'expiring', group, end_before)
  return math.min(lease_end, end_before)
end
