-- Put before next: jobs that are chosen from the queues one by one, then read and handed out together.

-- a reply that has this many bytes of jobs takes no more of them
local LARGEST = 1048576

-- id and place of the next job in its queue
local function head(p, group)
  local found, at, look = group.found, group.at, group.look
  if not found[at] and look > 0 then
    found, at = call('ZRANGE', set_key(p, group.name, 'queued'), group.seen, group.seen + look - 1, 'WITHSCORES'), 1
    group.found, group.at, group.look = found, at, #found == 2 * look and 2 * look or 0
  end
  return found[at], found[at + 1]
end

-- their ids, their places in the queues, and their groups
local function none_chosen() return { ids = {}, places = {}, whose = {} } end

-- choose a group's jobs until it is another one's turn, or n are chosen
local function select_jobs(p, chosen, n, group, turn)
  local ids, places, whose = chosen.ids, chosen.places, chosen.whose
  local k, is_alone, id, place = #ids, turn == math.huge, head(p, group)
  local before, most = k, math.min(n, k + group.room)
  while id and k < most and (is_alone or tonumber(place) <= turn) do
    k = k + 1
    ids[k], places[k], whose[k] = id, place, group
    group.seen, group.at = group.seen + 1, group.at + 2
    id, place = head(p, group)
  end
  group.room = group.room - (k - before)
  group.place = group.room > 0 and tonumber(place)
end

-- those from this one on stay in their queues
local function unselect(chosen, first)
  for i = #chosen.ids, first, -1 do
    local group = chosen.whose[i]
    group.seen, group.place = group.seen - 1, tonumber(chosen.places[i])
  end
end

-- hand out what was chosen, till the reply is large; how many these are. A group is short of a job that is none any more
local function dispatch_selected(p, handing, chosen, reply)
  local ids, places, n = chosen.ids, chosen.places, 0
  local texts = #ids > 0 and call('HMGET', jobs_key(p), unpack(ids))
  local before = #ids > 0 and call('HMGET', executions_key(p), unpack(ids))
  for i = 1, #ids do
    if handing.bytes >= LARGEST then
      unselect(chosen, i)
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
