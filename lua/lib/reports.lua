-- Put before finish: splits reports into rounds, says which jobs they may end, and applies them.
--
-- Reports are done in rounds. A round is of other jobs each, so that all of them can be read together, and written together
-- at its end; its parts are of jobs of a group that end alike. `groups` of the rounds are those of all parts
local function split_into_rounds(reports, at)
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
  round.runs = call('HMGET', executions_key(p), unpack(round.ids))
  round.texts = is_whole and call('HMGET', jobs_key(p), unpack(round.ids)) or {}
end

local SHOWN = { 'reason', 'error', 'retry_at', 'spec' }

-- a finished job as a reply: its text, status, the text of its run, SHOWN of its own hash; or the refusal when it is gone.
-- One that ran, and of which nothing `is_noted`, has none of SHOWN but a large spec
local function shown(p, id, text, status, run, is_noted)
  local is_large = text and byte(text, -1) == SPACE
  if text and not is_noted and not is_large then return { text, status, run, false, false, false, false } end
  local fields = call('HMGET', job_key(p, id), unpack(SHOWN))
  if not text or is_large and not fields[#SHOWN] then return not_found() end
  return { text, status, run, unpack(fields) }
end

-- put into a job's own hash what its report says, and make its retry; the end of the text of its run, and whether it is
-- retried. `job` is its text, with its spec; nil of one that is gone
local function apply_report(p, now, group, id, job, status, reason, text, completed_at, new_id, receipt)
  local key, fields = job_key(p, id), {}
  local function set(field, value) fields[#fields + 1] = field; fields[#fields + 1] = value end
  if reason ~= '' then set('reason', reason) end
  if text ~= '' then set('error', text) end
  if receipt then set('receipts', receipts_with(call('HGET', key, 'receipts'), receipt)) end
  local _, created_at = parts_of(job or '')
  if created_at then many('HSET', key, fields) end
  local settings = job and settings_of(job) or {}
  local is_retried = status == 'failed' and new_id ~= '' and settings.max_retries
  if is_retried then retry_failed(p, group, id, settings, new_id, now) end
  return ' ' .. status .. ' ' .. whole(plausible(tonumber(completed_at), created_at or now, now)), is_retried
end

-- which jobs of a part run with the tokens of their reports; those are out of `running` now. The text of a run begins with
-- its token, as a word of its own
local function remove_held(p, round, part, is_strict)
  local held, n, is_held, at, words, ids, runs = {}, 0, {}, part.at, part.words, round.ids, round.runs
  local find = string.find
  for i = part.first, part.last do
    local run, lease = runs[i], ARGV[at + 1]
    local is_any = lease == '' and not is_strict
    if run and (is_any or find(run, lease, 1, true) == 1 and byte(run, #lease + 1) == SPACE) then
      n = n + 1
      held[n], is_held[i] = ids[i], true
    end
    at = at + words
  end
  if n == 0 or call('ZREM', set_key(p, part.group, 'running'), unpack(held)) == n then return is_held end
  for i = part.first, part.last do -- some were over already, or are another group's
    is_held[i] = is_held[i] and status_in(round.runs[i]) == 'running'
      and parts_of(call('HGET', jobs_key(p), round.ids[i]) or '') == part.group
  end
  return is_held
end
