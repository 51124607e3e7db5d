-- For reap: fails many jobs that did not start in time, with few commands.

-- Fails those jobs of a set that were never delivered and whose deadlines have passed, and counts them in `reaped` (lost_leases.lua).
-- Returns how many, and the other jobs.
local function fail_unstarted(p, set, group, ids, now, reaped)
  if set ~= 'expiring' then return 0, ids end
  local retention_s, dead_letter_to = unpack(call('HMGET', group_key(p, group), 'retention_failed', 'dead_letter_to'))
  if dead_letter_to then return 0, ids end -- each has a copy
  local records, executions = call('HMGET', jobs_key(p), unpack(ids)), call('HMGET', executions_key(p), unpack(ids))
  local scores = call('ZMSCORE', set_key(p, group, 'delayed'), unpack(ids))
  local failed, others, ends, waiting, unsettled, histories = {}, {}, {}, { delayed = {}, queued = {} }, {}, {}
  for i = 1, #ids do
    local id, record, key, status = ids[i], records[i], job_key(p, ids[i]), scores[i] and 'delayed' or 'queued'
    local is_waiting = record and not executions[i] and byte(record, -1) ~= SPACE
    local start_before, end_before = is_waiting and setting_in(record, 'start_before'), is_waiting and setting_in(record, 'end_before')
    if start_before and start_before <= now or end_before and end_before <= now then
      local before, needs = unpack(call('HMGET', key, 'history', 'needs'))
      local history = not before and histories[status] or history_with(before or '', now, 'late', '', 'from', status, 'to', 'failed')
      if not before then histories[status] = history end
      call('HSET', key, 'reason', end_before and end_before <= now and 'timeout' or 'expired', 'history', history)
      if needs then call('HDEL', key, 'needs') end
      if setting_in(record, 'hooks') >= 2 then unsettled[#unsettled + 1] = id end
      failed[#failed + 1], ends[#ends + 1], ends[#ends + 2] = id, id, '* 0 - failed ' .. digits(now)
      table.insert(waiting[status], id)
    else
      others[#others + 1] = id
    end
  end
  if not failed[1] then return 0, others end
  local timers = {}
  call_many('HSET', executions_key(p), ends)
  for status, some in pairs(waiting) do call_many('ZREM', set_key(p, group, status), some) end
  call_many('ZREM', set_key(p, group, 'expiring'), failed)
  move_to_finished(p, group, failed, 'failed', retention_s, now, timers)
  settle_later(p, unsettled, now, timers)
  count_end(reaped, group, 'failed', 0, #failed)
  return #failed, others
end
