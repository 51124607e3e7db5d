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

-- Writes what a report says to P:job:<id>, and creates the automatic retry, or has the job wait for its next try. Returns the end
-- of the execution, whether the job is retried, and until when it waits, ms. `record` includes the spec; it is nil if the job is
-- gone. `run` has the execution, the token of the report, and the retry policy of the group.
local function apply_report(p, now, group, id, record, status, run, reason, error_text, completed_at, new_id, receipt, after_s)
  local key, fields, tried_at, has_retry = job_key(p, id), {}, nil, false
  local function set(field, value) fields[#fields + 1] = field; fields[#fields + 1] = value end
  if receipt == '' then receipt = nil end
  local _, created_at = parse_record(record or '')
  local settings = record and settings_of(record) or {}
  local policy = created_at and status == 'failed' and policy_for(settings, record, run.default)
  if policy then
    local failure = { reason = reason, error = error_text, is_final = new_id == '', retry_after = after_s, what = 'failed' }
    failure.token, failure.receipt, failure.created_at, failure.end_before = run.token, receipt, created_at, settings.end_before
    parse_execution(failure, run.execution)
    tried_at = count_failure(p, group, id, policy, failure, now)
  else
    if reason ~= '' then set('reason', reason) end
    if error_text ~= '' then set('error', error_text) end
    if receipt then set('receipts', receipts_with(call('HGET', key, 'receipts'), receipt)) end
    if created_at then call_many('HSET', key, fields) end
    has_retry = status == 'failed' and new_id ~= '' and retry_failed(p, group, id, settings, new_id, now)
  end
  local ended_at = plausible(tonumber(completed_at), created_at or now, now)
  return ' ' .. status .. ' ' .. digits(ended_at), has_retry or tried_at, tried_at
end
