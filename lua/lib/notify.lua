-- Put before enqueue: what its new queued jobs mean to `ready`, and to those who wait.

-- whether a broker other than this one is to be told: `pollers` and `image_pollers` have them
local function has_other_pollers(p, set, broker)
  local names = call('ZRANGE', p .. ':' .. set, 0, 1)
  return names[1] and names[1] ~= broker or names[2]
end

-- `firsts` has for each group the place of its first new job. That is where the group stands in `ready`, unless it stood
-- before that already; or its settings keep it out, which is looked at for each. `known` gets when and name of the groups
-- that were not there, flat: they may be new. `broker` need not be told
local function notify_enqueued(p, firsts, known, created_at, broker)
  local names, comes, ready, told = {}, {}, {}, {}
  for group in pairs(firsts) do names[#names + 1] = group end
  local places = call('ZMSCORE', p .. ':ready', unpack(names))
  for i = 1, #names do
    local group, place = names[i], firsts[names[i]]
    if not places[i] then
      comes[#comes + 1] = group
      known[#known + 1] = created_at; known[#known + 1] = group
    end
    if not places[i] or tonumber(places[i]) > place then ready[#ready + 1] = place; ready[#ready + 1] = group end
  end
  if any_set(p, comes) then
    for i = 1, #ready, 2 do refresh_ready(p, ready[i + 1]) end
  elseif #ready > 0 then
    call('ZADD', p .. ':ready', unpack(ready))
    if #comes > 0 and has_other_pollers(p, 'pollers', broker) then told = comes end
  end
  -- who waits for images is not told by `ready`, where the group may have been before
  if has_other_pollers(p, 'image_pollers', broker) then told = names end
  for i = 1, #told do call('PUBLISH', p .. ':notify', told[i]) end
end
