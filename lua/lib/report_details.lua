-- For finish: what few calls need: what a report says in addition to how the job ended, and late reports.

local BANG = 33 -- before the new id of a job that must not be retried

-- Writes what a report says to P:job:<id>, and creates the automatic retry, or has the job wait for its next try, or copies it as
-- a dead letter. Returns the end of the execution, whether the job is retried, until when it waits, ms, and the group that has its
-- copy. `record` includes the spec; it is nil if the job is gone. `run` has the execution, the token of the report, and of the group
-- the retry policy and dead_letter_to.
local function apply_details(p, now, group, id, record, status, run, reason, error_text, completed_at, new_id, receipt, after_s, result)
  if status == 'succeeded' and record and result and reason .. error_text .. completed_at .. receipt == '' then
    if result ~= '' then call('HSET', job_key(p, id), 'result', result) end -- most reports with a result say no more
    return ' succeeded ' .. digits(now), false
  end
  local key, fields, tried_at, has_retry, copied_to = job_key(p, id), {}, nil, false, nil
  local may_retry = new_id ~= '' and byte(new_id) ~= BANG
  local function set(field, value) fields[#fields + 1] = field; fields[#fields + 1] = value end
  if receipt == '' then receipt = nil end
  local _, created_at = parse_record(record or '')
  local settings = record and settings_of(record) or {}
  local policy = created_at and status == 'failed' and policy_for(settings, record, run.default)
  if policy then
    local failure = { reason = reason, error = error_text, is_final = not may_retry, retry_after = after_s, what = 'failed' }
    failure.token, failure.receipt, failure.created_at, failure.end_before = run.token, receipt, created_at, settings.end_before
    failure.settings = settings.retry_max and settings
    parse_execution(failure, run.execution)
    tried_at = count_failure(p, group, id, policy, failure, now)
    if tried_at and (settings.hooks or 0) >= 2 then give_place_on(p, group, id, now) end
  else
    if reason ~= '' then set('reason', reason) end
    if error_text ~= '' then set('error', error_text) end
    if receipt then set('receipts', receipts_with(call('HGET', key, 'receipts'), receipt)) end
    if result and result ~= '' then set('result', result) end
    if created_at then call_many('HSET', key, fields) end
    has_retry = status == 'failed' and may_retry and retry_failed(p, group, id, settings, new_id, now)
  end
  if run.dead_letter_to and status == 'failed' and created_at and not has_retry and not tried_at then
    copied_to = copy_dead_letter(p, group, id, run.dead_letter_to, string.match(new_id, '[^!]+'), now)
  end
  local ended_at = plausible(tonumber(completed_at), created_at or now, now)
  return ' ' .. status .. ' ' .. digits(ended_at), has_retry or tried_at, tried_at, copied_to
end

-- The item of a job that this token does not hold: as for the first report if this one repeats it, else the refusal.
local function late_report(p, group, status, id, lease, with_job)
  local job, token = find_job(p, group, id, 'reported'), lease ~= '' and lease or '-'
  local is_repeat = job and (job.status == status and job.lease == token or status == 'failed' and job.reported == token)
  if not is_repeat or lease == '*' then return refusal(p, group, id, job, lease) end
  return with_job and finished_row(p, id, job.record, job.status, job.execution or '0', true, 1) or 0
end

local report_details = { apply = apply_details, late_report = late_report }
