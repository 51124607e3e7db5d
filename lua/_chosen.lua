-- Put before next: jobs that are chosen from the queues one by one, then read and handed out together.

-- their ids, their places in the queues, and their groups
local function none_chosen() return { ids = {}, places = {}, whose = {} } end

-- choose a group's jobs until it is another one's turn, or n are chosen
local function choose(p, chosen, n, group, turn)
  local ids, places, whose = chosen.ids, chosen.places, chosen.whose
  local id, place = head(p, group)
  while id and #ids < n and group.room > 0 and (turn == math.huge or tonumber(place) <= turn) do
    local k = #ids + 1
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
  local ids, n, group, told = chosen.ids, 0, nil, nil
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
      if chosen.whose[i] ~= group then
        group = chosen.whose[i]
        told = { group.name, group.env_vars }
        reply[#reply + 1] = told
      end
      hand_out(handing, group, told, ids[i], chosen.places[i], text, before[i])
      n = n + 1
    end
  end
  return n
end
