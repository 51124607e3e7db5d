-- For enqueue: adds the groups of new queued jobs to the ready index, and notifies brokers with long polls.

-- Whether a broker other than this one is in `set`, which is pollers or image_pollers.
local function has_other_pollers(p, set, broker)
  local names = call('ZRANGE', p .. ':' .. set, 0, 1)
  return names[1] and names[1] ~= broker or names[2]
end

-- Whether a group that is not in `ready` may dispatch its new jobs; nil if refresh_ready must decide: their ranks are before those
-- of other groups when it has a priority_boost, or its keys take turns. Since it is not in `ready`, nothing else is queued.
local function may_enter(p, group)
  local settings = call('HMGET', group_key(p, group), 'paused', 'max_concurrency', 'rate_limit', 'priority_boost', 'fair_keys')
  if settings[4] or settings[5] then return nil end
  return room(p, group, false, settings) > 0
end

-- first_ranks has the rank of each group's first new job. The group gets that rank in `ready`, unless it has a lower one, or its
-- settings keep it out. Groups that were not in `ready` may be new: created_at and name of each are appended to maybe_new.
-- `broker` is not notified.
local function notify_enqueued(p, first_ranks, maybe_new, created_at, broker)
  local names, added, ready, entered, notified, are_set = {}, {}, {}, {}, {}, nil
  for group in pairs(first_ranks) do names[#names + 1] = group end
  local ranks = call('ZMSCORE', p .. ':ready', unpack(names))
  for i = 1, #names do
    if not ranks[i] then
      added[#added + 1] = names[i]
      maybe_new[#maybe_new + 1] = created_at; maybe_new[#maybe_new + 1] = names[i]
    end
  end
  are_set = any_set(p, added)
  for i = 1, #names do
    local group, rank, before, may = names[i], first_ranks[names[i]], tonumber(ranks[i] or nil), true
    if not before and are_set then
      may = may_enter(p, group)
    elseif before and rank < before and math.floor((before + MOST_LEAD) / STEP) == math.floor((rank + MOST_LEAD) / STEP) then
      may = nil -- only a priority_boost or fair_keys puts a job before others of its priority; the turn of its group stays where it is
    end
    if may and (not before or rank < before) then ready[#ready + 1] = rank; ready[#ready + 1] = group end
    if may and not before then entered[#entered + 1] = group end
    if may == nil then refresh_ready(p, group) end
  end
  if #ready > 0 then call('ZADD', p .. ':ready', unpack(ready)) end
  if #entered > 0 and has_other_pollers(p, 'pollers', broker) then notified = entered end
  -- A group that was in `ready` already also counts here: its new job may be of an image that a client waits for.
  if has_other_pollers(p, 'image_pollers', broker) then notified = names end
  for i = 1, #notified do call('PUBLISH', p .. ':notify', notified[i]) end
end
