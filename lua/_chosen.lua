-- Put before next: jobs that are chosen from the queues one by one, then read and handed out together.

-- a reply that has this many bytes of jobs takes no more of them
local LARGEST = 1048576

-- id and place of the next job in its queue
local function head(p, group)
  local found, look = group.found, group.look
  if not found[group.at] and look > 0 then
    found = call('ZRANGE', set_key(p, group.name, 'queued'), group.seen, group.seen + look - 1, 'WITHSCORES')
    group.found, group.at, group.look = found, 1, #found == 2 * look and 2 * look or 0
  end
  return found[group.at], found[group.at + 1]
end

-- their ids, their places in the queues, and their groups
local function none_chosen() return { ids = {}, places = {}, whose = {} } end

-- choose a group's jobs until it is another one's turn, or n are chosen
local function choose(p, chosen, n, group, turn)
  local ids, places, whose = chosen.ids, chosen.places, chosen.whose
  local k, id, place = #ids, head(p, group)
  while id and k < n and group.room > 0 and (turn == math.huge or tonumber(place) <= turn) do
    k = k + 1
    ids[k], places[k], whose[k] = id, place, group
    group.seen, group.at, group.room = group.seen + 1, group.at + 2, group.room - 1
    id, place = head(p, group)
  end
  group.place = group.room > 0 and tonumber(place)
end

-- those from this one on stay in their queues
local function leave(chosen, first)
  for i = #chosen.ids, first, -1 do
    local group = chosen.whose[i]
    group.seen, group.place = group.seen - 1, tonumber(chosen.places[i])
  end
end

-- hand out what was chosen, till the reply is large; how many these are. A group is short of a job that is none any more
local function hand_out_all(p, handing, chosen, reply)
  local ids, places, n = chosen.ids, chosen.places, 0
  local texts = #ids > 0 and call('HMGET', jobs_key(p), unpack(ids))
  local before = #ids > 0 and call('HMGET', runs_key(p), unpack(ids))
  for i = 1, #ids do
    if handing.bytes >= LARGEST then
      leave(chosen, i)
      break
    end
    local text = with_spec(p, ids[i], texts[i])
    if not text then
      chosen.whose[i].is_short = true
    else
      hand_out(handing, reply, chosen.whose[i], ids[i], places[i], text, before[i])
      n = n + 1
    end
  end
  return n
end
