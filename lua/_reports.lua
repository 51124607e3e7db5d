-- Put before finish: which jobs reports may end, and what they tell of them beside that.
local SHOWN = { 'group_name', 'created_at', 'settings', 'spec', 'reason', 'error', 'retry_of', 'retry_at' }

-- a finished job as a reply: SHOWN of it, its status, the text of its run; or the refusal when its hash is gone
local function shown(p, id, status, run)
  local row = call('HMGET', job_key(p, id), unpack(SHOWN))
  if not row[1] then return not_found() end
  row[#SHOWN + 1], row[#SHOWN + 2] = status, run
  return row
end

-- put into the job what its report says, and make its retry; the end of the text of its run, and whether it is retried
local function note(p, now, group, id, status, reason, text, completed_at, new_id, receipt)
  local key, fields = job_key(p, id), {}
  local created_at, text_of_settings, receipts = unpack(call('HMGET', key, 'created_at', 'settings', 'receipts'))
  local function set(field, value) fields[#fields + 1] = field; fields[#fields + 1] = value end
  if reason ~= '' then set('reason', reason) end
  if text ~= '' then set('error', text) end
  if receipt then set('receipts', receipts_with(receipts, receipt)) end
  if created_at then many('HSET', key, fields) end -- else its hash is gone
  local settings = settings_of(text_of_settings)
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

local SPACE = 32
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
    is_held[i] = is_held[i] and status_in(runs[i]) == 'running' and call('HGET', job_key(p, ids[i]), 'group_name') == group
  end
  return is_held, runs
end
