-- For admit: the unique keys of new jobs (unique.lua).

-- Which of them are stored, though perhaps no job holds them now; and whether any of them is, or is of two new jobs.
local function stored_keys(p, group, new_jobs)
  local keys, is_stored, is_taken, is_any = {}, {}, {}, false
  for i = 1, #new_jobs do
    local key = new_jobs[i].key
    if key ~= '' then
      keys[#keys + 1], is_any = key, is_any or is_taken[key]
      is_taken[key] = true
    end
  end
  if not keys[1] then return is_stored, is_any end
  local found = call('HMGET', set_key(p, group, 'unique'), unpack(keys)) -- a call has 1,000 jobs at most
  for i = 1, #keys do is_stored[keys[i]], is_any = found[i], is_any or found[i] end
  return is_stored, is_any
end

-- Has new jobs hold their keys, except those that follow a holder.
local function hold_keys(p, group, new_jobs, now)
  local holders, windows, first_end = {}, {}, math.huge
  for i = 1, #new_jobs do
    local new = new_jobs[i]
    if new.key ~= '' and not new.follows then
      local ends = now + (tonumber(new.kind.unique_until) or -now)
      holders[#holders + 1] = new.key; holders[#holders + 1] = new.id .. ' - ' .. digits(ends)
      if ends > 0 then
        windows[#windows + 1] = digits(ends); windows[#windows + 1] = new.key
        first_end = math.min(first_end, ends)
      end
    end
  end
  call_many('HSET', set_key(p, group, 'unique'), holders)
  call_many('ZADD', set_key(p, group, 'windows'), windows)
  if windows[1] then set_timer(p, 'windows', group, first_end) end
end
