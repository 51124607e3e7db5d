-- For scripts that queue jobs: in groups with `fair_keys` the keys take turns. A job gets a lower rank than the end of its priority: the
-- place of the first job there, or the one behind the last job of its key, whichever is later. So it waits for one job of each other key,
-- however many these have. Jobs without a key are those of the key ''.
--
-- P:group:<g>:virtual_time has for each priority its first place, by the number of the priority, and for its keys their last places, by
-- that number, a space and the key. A key whose last place is before the first one is as new, so it is dropped.
local MOST_AT_ONCE, MOST_DROPPED = 1000, 1000
local function band_from(rank) return math.floor((rank + MOST_LEAD) / STEP) end

-- The first place of a priority; `own` if it has no other job. It never goes back, though jobs return to their old ranks.
local function first_place(p, group, band, stored, own)
  local low, high = band * STEP - MOST_LEAD, (band + 1) * STEP - MOST_LEAD - 1
  local head = call('ZRANGEBYSCORE', set_key(p, group, 'queued'), low, high, 'WITHSCORES', 'LIMIT', 0, 1)[2]
  return math.max(tonumber(stored or low), tonumber(head or own))
end

-- Drops keys that are as new.
local function drop_passed(p, group, firsts)
  local key = set_key(p, group, 'virtual_time')
  for band, place in pairs(firsts) do
    local passed = call('ZRANGEBYSCORE', key, band * STEP - MOST_LEAD, '(' .. digits(place), 'LIMIT', 0, MOST_DROPPED)
    call_many('ZREM', key, passed)
  end
end

-- Gives some jobs in `queued` their places. Each has `id`, `key` and `lead`, by how much its priority lowers its rank.
local function give_some(p, group, entered)
  local ids, members, found, lasts, firsts = {}, { '0', '1', '2' }, {}, {}, {}
  for i = 1, #entered do ids[i] = entered[i].id end
  local queued, times, ranks = set_key(p, group, 'queued'), set_key(p, group, 'virtual_time'), nil
  ranks = call('ZMSCORE', queued, unpack(ids))
  for i = 1, #ids do
    local one, own = entered[i], ranks[i] and tonumber(ranks[i]) + entered[i].lead
    if own then
      one.own, one.band = own, band_from(own)
      one.member, found[#found + 1], members[#members + 1] = one.band .. ' ' .. one.key, one, one.band .. ' ' .. one.key
    end
  end
  if not found[1] then return end
  call('ZREM', queued, unpack(ids))
  local scores, places, noted = call('ZMSCORE', times, unpack(members)), {}, {}
  for i = 1, #members do lasts[members[i]] = tonumber(scores[i] or nil) end
  for i = 1, #found do
    local one, band = found[i], found[i].band
    firsts[band] = firsts[band] or first_place(p, group, band, lasts[digits(band)], one.own)
    local place = math.max(firsts[band], (lasts[one.member] or -math.huge) + 1)
    one.rank, lasts[one.member] = place - one.lead, place
    places[2 * i - 1], places[2 * i] = one.rank, one.id
  end
  for band, place in pairs(firsts) do lasts[digits(band)] = place end
  for member, place in pairs(lasts) do noted[#noted + 1] = place; noted[#noted + 1] = member end
  call_many('ZADD', queued, places)
  call_many('ZADD', times, noted)
  drop_passed(p, group, firsts)
end

-- Gives jobs that came into `queued` at the end their places. Held jobs get none.
local function give_turns(p, group, entered)
  for first = 1, #entered, MOST_AT_ONCE do give_some(p, group, { unpack(entered, first, math.min(first + MOST_AT_ONCE - 1, #entered)) }) end
end

-- By how much the priority of a job lowers its rank. A job may have its rank from before the group got this priority_boost: the lead is
-- then so small that its place is not behind the end of the queue.
local function lead_of(p, group, id)
  local boost = call('HGET', group_key(p, group), 'priority_boost')
  local lead = boost and (setting_in(call('HGET', jobs_key(p), id) or '', 'priority') or 0) * boost or 0
  local rank = lead > 0 and tonumber(call('ZSCORE', set_key(p, group, 'queued'), id) or nil)
  if not rank or band_from(rank) < 2 then return 0 end
  return math.min(lead, 2 * STEP + call('GET', p .. ':sequence') - rank)
end

-- The same for one job, if the keys of its group take turns. `key` is nil or '' for none.
local function enter_turn(p, group, id, key)
  if keys_take_turns(p, group) then give_turns(p, group, { { id = id, key = key or '', lead = lead_of(p, group, id) } }) end
end
