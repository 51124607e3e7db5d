-- Put before finish: which jobs reports may end, and what they tell of them beside that.
local SHOWN = { 'reason', 'error', 'retry_at', 'spec' }

-- a finished job as a reply: its text, status, the text of its run, SHOWN of its own hash; or the refusal when it is gone.
-- One that ran, and of which nothing `is_noted`, has none of SHOWN but a large spec
local function shown(p, id, text, status, run, is_noted)
  local is_large = text and string.byte(text, -1) == SPACE
  if text and not is_noted and not is_large then return { text, status, run, false, false, false, false } end
  local fields = call('HMGET', job_key(p, id), unpack(SHOWN))
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

-- whether the text of a run begins with the token: as a word of its own
local function is_of(run, lease)
  return string.find(run, lease, 1, true) == 1 and string.byte(run, #lease + 1) == SPACE
end

-- which jobs of a part run with the tokens of their reports; those are out of `running` now
local function take_out(p, round, part, is_strict)
  local held, is_held, at = {}, {}, part.at
  for i = part.first, part.last do
    local id, run, lease = round.ids[i], round.runs[i], ARGV[at + 1]
    if run and (lease == '' and not is_strict or is_of(run, lease)) then held[#held + 1], is_held[i] = id, true end
    at = at + part.words
  end
  if #held == 0 or call('ZREM', set_key(p, part.group, 'running'), unpack(held)) == #held then return is_held end
  for i = part.first, part.last do -- some were over already, or are another group's
    is_held[i] = is_held[i] and status_in(round.runs[i]) == 'running'
      and parts_of(call('HGET', jobs_key(p), round.ids[i]) or '') == part.group
  end
  return is_held
end
