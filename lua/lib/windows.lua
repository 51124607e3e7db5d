-- For reap: a job that holds its key for a time is kept as long, also when its retention has ended.

-- Those of finished jobs that hold no key whose window is open. The others stay until then: their scores make them due at its end.
local function without_windows(p, group, set, ids, retention_s, now)
  local free = {}
  for i = 1, #ids do
    local key = call('HGET', job_key(p, ids[i]), 'unique_key')
    local holder, _, ends = stored_key(p, group, key or '')
    if holder == ids[i] and ends > now then
      call('ZADD', set_key(p, group, set), digits(ends - retention_s * 1000), ids[i])
    else
      free[#free + 1] = ids[i]
    end
  end
  return free
end
