-- fire: fire a schedule for one of its times, unless another broker did: create its job or skip it, and set when it fires next.
--
-- KEYS[1] partition     name    every key of the partition begins with it
-- ARGV[1] now           ms, or '' for the server's own clock
-- ARGV[2] group         name
-- ARGV[3] name          of the schedule
-- ARGV[4] version       of the schedule that the broker read: created_at, - and revision
-- ARGV[5] score         when it was to fire, as the broker read it, ms; '' for run and backfill, which leave that as it is
-- ARGV[6] how           time, run or backfill
-- ARGV[7] at            the time that it fires for, ms; '' when it fires for none of the times that passed
-- ARGV[8] moved         'gap' for a local time that does not exist, or ''
-- ARGV[9] next_score    when it fires after that, ms; '' for never
-- ARGV[10] next_at      the same without jitter
-- ARGV[11] passed       reasons of times that it does not fire for, with commas: missed or gap, first time, number
-- ARGV[12] overlap      skip, queue, queue_all, cancel or allow
-- ARGV[13] max_fires    or 0
-- ARGV[14] before       the time of the schedule before `at`, ms, or ''
-- ARGV[15] max_jobs     how many unfinished jobs the group may have, or 0
-- ARGV[16] max_bytes    how many bytes these may have, or 0
-- ARGV[17] idempotency_key  of run: group:key, or ''
-- ARGV[18] digest        of what run is for, or ''
-- ARGV[19] ttl_ms        how long the idempotency record is kept, ms
-- ARGV[20] job           as in admit; nothing when neither the schedule nor its group has an image
--
-- moves   - -> delayed, - -> queued, delayed -> delayed, queued -> queued, delayed -> cancelled, queued -> cancelled,
--           running -> cancelled
-- reply   fired, skipped, missed, known when it had fired for the time, or repeated for a call with the same Idempotency-Key; why it was skipped, or ''; the job that was made, or
--           was in the way, or ''; how many jobs were cancelled
-- refuses NOT_FOUND CHANGED IDEMPOTENCY_MISMATCH
-- with    record deadlines idempotency group_settings group_limits notify kinds creation new_jobs new_keys schedules firing
--           (job requeue hooks settling completion dependencies inputs awaiting unique lanes fair_keys key_turns new_turns places conflicts batches lease members new_parents
--           drafts tied_jobs notices_stream history overlap schedule_ends
--           scheduled_job)
local p, now, group, name, version, score, how, at = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local moved, next_score, next_at, passed, overlap, max_fires, before = ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12], tonumber(ARGV[13]), ARGV[14]
local max_jobs, max_bytes, idempotency_key, digest, ttl_ms, first = tonumber(ARGV[15]), tonumber(ARGV[16]), ARGV[17], ARGV[18], ARGV[19], 20
local key = schedule_key(p, group, name)
local seen, stored = version_of(key), call('ZSCORE', p .. ':schedules', group .. ':' .. name)
local repeated = idempotency_key ~= '' and stored_answer(p, idempotency_key, digest)
if repeated then return repeated.err and repeated or { 'repeated', '', repeated[2], 0 } end
if not seen then return refuse('NOT_FOUND', 'There is no such schedule in this group.') end
if seen ~= version or score ~= '' and tonumber(stored or NEVER) ~= tonumber(score) then
  return refuse('CHANGED', 'The schedule was changed, or has fired, meanwhile.')
end

local reply = { 'missed', '', '', 0 }
for why, from, n in string.gmatch(passed, '(%a+) (%d+) (%d+)') do
  local counter = why == 'missed' and 'missed' or 'skipped'
  note_fire(key, { at = from, fired_at = digits(now), what = counter, why = why, times = n }, counter)
end

if at ~= '' and how ~= 'run' and has_fired(key .. ':times', at) then
  reply = { 'known', '', '', 0 }
elseif at ~= '' then
  local why, id, n_cancelled = 'no_image', nil, 0
  if #ARGV >= first then
    local text = 'The schedule ' .. name .. ' fired again.'
    local limits = { overlap = overlap, is_backfill = how == 'backfill', max_jobs = max_jobs, max_bytes = max_bytes, text = text }
    why, id, n_cancelled = load_scheduled_job()(p, group, key .. ':open', new_jobs_in(ARGV, first, now)[1], limits, now)
  end
  local fire = { at = at, fired_at = digits(now), what = why and 'skipped' or 'fired', why = why, how = how ~= 'time' and how }
  fire.moved, fire.job, fire.current = moved ~= '' and moved, id, id
  note_fire(key, fire, fire.what)
  if not why and how ~= 'run' then note_time(key, at, how == 'time' and passed == '' and call('HGET', key, 'handled') or before) end
  if how == 'time' then note_handled(key, not why and at) end
  if not why and idempotency_key ~= '' then store_answer(p, idempotency_key, digest, digits(now), id, ttl_ms) end
  reply = { fire.what, why or '', id or '', n_cancelled }
end

if score ~= '' then
  local is_done = next_score == '' or max_fires > 0 and tonumber(call('HGET', key, 'fires') or 0) >= max_fires
  set_next(p, group, name, is_done and '' or next_score, is_done and '' or next_at)
  if is_done then
    call('HSET', key, 'state', 'done', 'ended_at', digits(now))
    call('HINCRBY', key, 'revision', 1)
  end
end
return reply
