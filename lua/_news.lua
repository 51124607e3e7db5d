-- Put before enqueue: what its new queued jobs mean to `ready`, and to those who wait.

-- `firsts` has for each group the place of its first new job. That is where the group stands in `ready`, unless it stood
-- before that already; or its settings keep it out, which is looked at for each. `known` gets when and name of the groups
-- that were not there, flat: they may be new
local function announce(p, firsts, known, created_at)
  local names, comes, ready = {}, {}, {}
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
    if #comes > 0 and call('EXISTS', p .. ':waiting') == 1 then
      for i = 1, #comes do call('PUBLISH', p .. ':wake', comes[i]) end
    end
  end
  -- who waits for images is not told by `ready`, where the group may have been before
  if call('EXISTS', p .. ':awaited') == 1 then
    for i = 1, #names do call('PUBLISH', p .. ':wake', names[i]) end
  end
end
