-- For finish and reap: retry policies, by which a job that failed is tried again. A policy is JSON without spaces, as in the
-- settings of a record. So is the default of a group, its field `retry`.
local RETRY_DELAY_S, RETRY_CAP_S, RETRY_FACTOR, RETRY_JITTER, RETRY_BACKOFF = 10, 3600, 2000, 20, 2
local LINEAR, EXPONENTIAL, STAR = 1, 2, 42
local FACTOR, PRIME = 16807, 2147483647

-- The policy of a job with this record: its own or the group's, JSON; nil if it has none.
local function policy_for(settings, record, default)
  if settings.retry_max then return settings_json(record) end
  return not settings.max_retries and default or nil
end

-- Whether words with a comma between them have the reason. A word that ends with a star stands for all that begin so.
local function is_listed(words, reason)
  for word in string.gmatch(words, '[^,]+') do
    local begin = string.sub(word, 1, -2)
    if word == reason or byte(word, -1) == STAR and string.sub(reason, 1, #begin) == begin then return true end
  end
  return false
end

local function is_final(policy, reason)
  local except, only = string.match(policy, '"retry_except":"([^"]*)"'), string.match(policy, '"retry_only":"([^"]*)"')
  return except and is_listed(except, reason) or only and not is_listed(only, reason)
end

-- A number from -1 to 1: always the same for this attempt of this job, and evenly spread over jobs and attempts. The last two
-- rounds part texts that differ in their last letter.
local function jitter_of(id, attempt)
  local bytes, sum = { byte(id .. ' ' .. attempt, 1, -1) }, 1
  for i = 1, #bytes do sum = (sum * FACTOR + bytes[i]) % PRIME end
  for _ = 1, 2 do sum = sum * FACTOR % PRIME end
  return 2 * sum / PRIME - 1
end

-- How long a job waits after this many failures, ms. The cap is applied while the number is small enough to be exact, and the
-- jitter after the cap: jobs that all wait for the cap must not come back at once.
local function wait_after(settings, id, attempt)
  local delay_s, backoff = settings.retry_delay or RETRY_DELAY_S, settings.retry_backoff or RETRY_BACKOFF
  if backoff == LINEAR then delay_s = delay_s * attempt end
  if backoff == EXPONENTIAL then delay_s = delay_s * ((settings.retry_factor or RETRY_FACTOR) / 1000) ^ (attempt - 1) end
  delay_s = math.min(delay_s, settings.retry_cap or RETRY_CAP_S)
  return math.floor(delay_s * 1000 + delay_s * 10 * (settings.retry_jitter or RETRY_JITTER) * jitter_of(id, attempt))
end

-- When a job is tried again that fails now for the n-th time, ms; nil if it is not.
local function next_try(policy, id, attempt, failure, now)
  local settings, has_reasons = failure.settings or settings_of(policy), string.find(policy, '":"', 1, true) -- texts
  if attempt > settings.retry_max or has_reasons and is_final(policy, failure.reason) then return nil end
  local asked_s, created_at = tonumber(failure.retry_after), tonumber(failure.created_at)
  local at = now + (asked_s and math.min(asked_s, settings.retry_cap or RETRY_CAP_S) * 1000 or wait_after(settings, id, attempt))
  local is_late = settings.retry_max_age and at > created_at + settings.retry_max_age * 1000
    or failure.end_before and at >= failure.end_before
  return not is_late and at or nil
end

-- Counts a failure of a running job with a policy. If the policy forgives it, the job waits in `delayed`: returns until when, ms;
-- else nil. `failure` has reason, error, is_final, retry_after, what (for the history), token, receipt (or nil), and the job's
-- created_at, end_before, deliveries, started_at, settings (or nil). The caller ends its run, and writes execution and timer.
local function count_failure(p, group, id, policy, failure, now)
  local key, reason = job_key(p, id), failure.reason
  local attempts, history, receipts = unpack(call('HMGET', key, 'attempts', 'history', 'receipts'))
  local n, is_final = (attempts or 0) + 1, failure.is_final
  local at = not is_final and next_try(policy, id, n, failure, now) or nil
  local fields = { 'attempts', n }
  local function set(name, value) fields[#fields + 1] = name; fields[#fields + 1] = value end
  if attempts and (reason == '' or failure.error == '') then call('HDEL', key, 'reason', 'error') end -- of the one before
  if reason ~= '' then set('reason', reason) end
  if failure.error ~= '' then set('error', failure.error) end
  if failure.receipt then set('receipts', receipts_with(receipts, failure.receipt)) end
  if at then
    local more = { 'delivery', failure.deliveries, 'started_at', failure.started_at or now, 'reason', reason }
    more[7], more[8] = 'receipts', failure.receipt and 1 or 0
    set('history', history_with(history or '', now, failure.what, '', 'from', 'running', 'to', 'delayed', unpack(more)))
    set('reported', failure.token)
    call('ZADD', set_key(p, group, 'delayed'), at, id)
  end
  call('HSET', key, unpack(fields))
  return at
end
