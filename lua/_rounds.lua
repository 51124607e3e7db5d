-- Put before finish: its reports in the order in which they are done.
--
-- Reports are done in rounds. A round is of other jobs each, so that all of them can be read together, and written together
-- at its end; its parts are of jobs of a group that end alike. `groups` of the rounds are those of all parts
local function rounds_of(reports, at)
  local rounds, round, ids, is_there, n = { groups = {} }
  while at < #reports do
    local group, status, jobs, words = unpack(reports, at, at + 3)
    local part = nil
    at, words = at + 4, tonumber(words)
    for _ = 1, jobs do
      local id = reports[at]
      if not round or is_there[id] or n == 1000 then
        ids, is_there, n, part = {}, {}, 0, nil
        round = { ids = ids, parts = {}, over = {}, is_noted = false }
        rounds[#rounds + 1] = round
      end
      n = n + 1
      if not part then
        part = { group = group, status = status, words = words, at = at, first = n, last = n }
        rounds.groups[#rounds.groups + 1] = group
        round.parts[#round.parts + 1], round.is_noted = part, round.is_noted or words ~= 2
      end
      ids[n], is_there[id], part.last = id, true, n
      at = at + words
    end
  end
  return rounds
end

-- the texts of the runs of a round, and those of its jobs where these are needed
local function read(p, round, is_whole)
  round.runs = call('HMGET', runs_key(p), unpack(round.ids))
  round.texts = is_whole and call('HMGET', jobs_key(p), unpack(round.ids)) or {}
end
