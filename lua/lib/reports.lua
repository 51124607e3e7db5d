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

local FINISHED_FIELDS = { 'reason', 'error', 'retry_at', 'spec' }

-- A finished job as a reply: record, status, execution and FINISHED_FIELDS of P:job:<id>; the refusal if the job is gone. A job
-- whose report has no details has none of these fields but a large spec, so they are not read. `repeated`: 1 for a repeat.
local function finished_row(p, id, record, status, execution, has_details, repeated)
  local is_large = record and byte(record, -1) == SPACE
  if record and not has_details and not is_large then return { record, status, execution, false, false, false, false } end
  local fields = call('HMGET', job_key(p, id), unpack(FINISHED_FIELDS))
  if not record or is_large and not fields[#FINISHED_FIELDS] then return not_found() end
  fields[#FINISHED_FIELDS + 1] = repeated
  return { record, status, execution, unpack(fields) }
end

-- Writes what a report says to P:job:<id>, and creates the automatic retry. Returns the end of the execution, and whether there
-- is a retry. `record` includes the spec; it is nil if the job is gone.
local function apply_report(p, now, group, id, record, status, reason, error_text, completed_at, new_id, receipt, _, result)
  local key, fields = job_key(p, id), {}
  local function set(field, value) fields[#fields + 1] = field; fields[#fields + 1] = value end
  if reason ~= '' then set('reason', reason) end
  if error_text ~= '' then set('error', error_text) end
  if (receipt or '') ~= '' then set('receipts', receipts_with(call('HGET', key, 'receipts'), receipt)) end
  if result then set('result', result) end
  local _, created_at = parse_record(record or '')
  if created_at then call_many('HSET', key, fields) end
  local settings = record and settings_of(record) or {}
  local is_retried = status == 'failed' and new_id ~= '' and settings.max_retries
  if is_retried then retry_failed(p, group, id, settings, new_id, now) end
  return ' ' .. status .. ' ' .. digits(plausible(tonumber(completed_at), created_at or now, now)), is_retried
end

-- Removes the jobs of a part from `running` whose reports have the right token, and returns which ones these are. The first word
-- of an execution is its token.
local function remove_held(p, round, part, is_strict)
  local held, n, is_held, at, words, ids, executions = {}, 0, {}, part.at, part.words, round.ids, round.executions
  local find_in = string.find
  for i = part.first, part.last do
    local execution, lease = executions[i], ARGV[at + 1]
    local is_any_token = lease == '' and not is_strict
    if execution and (is_any_token or find_in(execution, lease, 1, true) == 1 and byte(execution, #lease + 1) == SPACE) then
      n = n + 1
      held[n], is_held[i] = ids[i], true
    end
    at = at + words
  end
  if n == 0 or call('ZREM', set_key(p, part.group, 'running'), unpack(held)) == n then return is_held end
  for i = part.first, part.last do -- some had ended already, or are of another group
    is_held[i] = is_held[i] and status_in(round.executions[i]) == 'running'
      and parse_record(call('HGET', jobs_key(p), round.ids[i]) or '') == part.group
  end
  return is_held
end
