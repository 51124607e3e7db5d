-- For enqueue: adds the groups of new queued jobs to the ready index, and notifies brokers with long polls.

-- Whether a broker other than this one is in `set`, which is pollers or image_pollers.
local function has_other_pollers(p, set, broker)
  local names = call('ZRANGE', p .. ':' .. set, 0, 1)
  return names[1] and names[1] ~= broker or names[2]
end

-- first_ranks has the rank of each group's first new job. The group gets that rank in `ready`, unless it has a lower one. If
-- any group has settings, refresh_ready decides for each group, since its settings may keep it out. Groups that were not in
-- `ready` may be new: created_at and name of each are appended to maybe_new. `broker` is not notified.
local function notify_enqueued(p, first_ranks, maybe_new, created_at, broker)
  local names, added, ready, notified, is_ahead = {}, {}, {}, {}, false
  for group in pairs(first_ranks) do names[#names + 1] = group end
  local ranks = call('ZMSCORE', p .. ':ready', unpack(names))
  for i = 1, #names do
    local group, rank = names[i], first_ranks[names[i]]
    if not ranks[i] then
      added[#added + 1] = group
      maybe_new[#maybe_new + 1] = created_at; maybe_new[#maybe_new + 1] = group
    end
    if not ranks[i] or tonumber(ranks[i]) > rank then
      ready[#ready + 1] = rank; ready[#ready + 1] = group
      -- only a priority_boost or fair_keys puts a job before others of its priority; the turn of its group stays where it is
      is_ahead = is_ahead or ranks[i] and math.floor((ranks[i] + MOST_LEAD) / STEP) == math.floor((rank + MOST_LEAD) / STEP)
    end
  end
  if is_ahead or any_set(p, added) then
    for i = 1, #ready, 2 do refresh_ready(p, ready[i + 1]) end
  elseif #ready > 0 then
    call('ZADD', p .. ':ready', unpack(ready))
    if #added > 0 and has_other_pollers(p, 'pollers', broker) then notified = added end
  end
  -- A group that was in `ready` already also counts here: its new job may be of an image that a client waits for.
  if has_other_pollers(p, 'image_pollers', broker) then notified = names end
  for i = 1, #notified do call('PUBLISH', p .. ':notify', notified[i]) end
end
