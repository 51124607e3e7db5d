-- For finish: splits reports into rounds, checks which of them hold their jobs, and applies these.
--
-- A round has each job once, and 1,000 jobs at most, so that one command reads all of them and one writes them at its end. A part
-- of a round is jobs of one group with the same new status. `groups` has the group of each part, `n` is the number of reports.
local function split_into_rounds(reports, at)
  local rounds, round, ids, is_in_round, n = { groups = {}, n = 0 }
  while at < #reports do
    local group, status, jobs, words = unpack(reports, at, at + 3)
    local part = nil
    at, words, rounds.n = at + 4, tonumber(words), rounds.n + jobs
    for _ = 1, jobs do
      local id = reports[at]
      if not round or is_in_round[id] or n == 1000 then
        ids, is_in_round, n, part = {}, {}, 0, nil
        round = { ids = ids, parts = {}, finished = {}, has_details = false }
        rounds[#rounds + 1] = round
      end
      n = n + 1
      if not part then
        part = { group = group, status = status, words = words, at = at, first = n, last = n }
        rounds.groups[#rounds.groups + 1] = group
        round.parts[#round.parts + 1], round.has_details = part, round.has_details or words ~= 2
      end
      ids[n], is_in_round[id], part.last = id, true, n
      at = at + words
    end
  end
  return rounds
end

-- Reads the executions of a round, and its records if they are needed.
local function read_jobs(p, round, needs_records)
  round.executions = call('HMGET', executions_key(p), unpack(round.ids))
  round.records = needs_records and call('HMGET', jobs_key(p), unpack(round.ids)) or {}
end

local FINISHED_FIELDS = { 'reason', 'error', 'retry_at', 'spec', 'attempts' }

-- A finished job as a reply: record, status, execution and FINISHED_FIELDS of P:job:<id>; the refusal if the job is gone. A job
-- whose first delivery is reported without details has none of them but a large spec. `repeated`: 1 for a repeat.
local function finished_row(p, id, record, status, execution, has_details, repeated)
  local is_large = record and byte(record, -1) == SPACE
  has_details = has_details or is_large or not string.find(execution, '^%S+ 1 ')
  if record and not has_details then return { record, status, execution, false, false, false, false, false } end
  local fields = call('HMGET', job_key(p, id), unpack(FINISHED_FIELDS))
  if not record or is_large and not fields[4] then return not_found() end
  fields[#FINISHED_FIELDS + 1] = repeated
  return { record, status, execution, unpack(fields) }
end
