-- Put before finish: which jobs reports may end, and what they tell of them beside that.
local SHOWN = { 'reason', 'error', 'retry_at', 'spec' }

-- a finished job as a reply: its text, status, the text of its run, SHOWN of its own hash; or the refusal when it is gone.
-- One that ran, and of which nothing `is_noted`, has none of SHOWN but a large spec
local function shown(p, id, text, status, run, is_noted)
  local is_large = text and string.byte(text, -1) == SPACE
  local fields = (is_noted or is_large) and call('HMGET', job_key(p, id), unpack(SHOWN)) or { false, false, false, false }
  if not text or is_large and not fields[#SHOWN] then return not_found() end
  return { text, status, run, unpack(fields) }
end

-- put into a job's own hash what its report says, and make its retry; the end of the text of its run, and whether it is
-- retried. `job` is its text, with its spec; nil of one that is gone
local function note(p, now, group, id, job, status, reason, text, completed_at, new_id, receipt)
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

-- the texts of runs that are over, of all groups; they are written before any of these jobs is looked at again
local over = {}
local function note_over(id, run) over[#over + 1] = id; over[#over + 1] = run end
local function write_over(p)
  many('HSET', runs_key(p), over)
  over = {}
end

-- ids of the next reports in ARGV, so many words each, n at most; each of another job
local function next_ids(at, n, words)
  local ids, is_there = {}, {}
  while #ids < math.min(n, 1000) and not is_there[ARGV[at]] do
    ids[#ids + 1], is_there[ARGV[at]] = ARGV[at], true
    at = at + words
  end
  return ids
end

-- whether the text of a run begins with the token: as a word of its own
local function is_of(run, lease)
  return string.find(run, lease, 1, true) == 1 and string.byte(run, #lease + 1) == SPACE
end

-- which of these jobs run with the tokens of their reports, which begin at `at`, and the texts of their runs; those are out
-- of `running` now
local function take_out(p, group, is_strict, ids, at, words)
  local runs, held, is_held = call('HMGET', runs_key(p), unpack(ids)), {}, {}
  for i = 1, #ids do
    local run, lease = runs[i], ARGV[at + 1]
    is_held[i] = run and (lease == '' and not is_strict or is_of(run, lease))
    if is_held[i] then held[#held + 1] = ids[i] end
    at = at + words
  end
  if #held == 0 or call('ZREM', set_key(p, group, 'running'), unpack(held)) == #held then return is_held, runs end
  write_over(p)
  runs = call('HMGET', runs_key(p), unpack(ids))
  for i = 1, #ids do -- some were over already, or are another group's
    is_held[i] = is_held[i] and status_in(runs[i]) == 'running' and parts_of(call('HGET', jobs_key(p), ids[i]) or '') == group
  end
  return is_held, runs
end
