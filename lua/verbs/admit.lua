-- admit: create jobs of one group with fields that enqueue does not know, all of them or none.
--
-- KEYS[1] partition        name    every key of the partition begins with it
-- ARGV[1] now              ms, or '' for the server's own clock
-- ARGV[2] idempotency_key  group:key, or '' for none
-- ARGV[3] digest           of the body, or ''
-- ARGV[4] ttl_ms           how long the idempotency record is kept, ms
-- ARGV[5] note             what the broker needs to give the same answer again
-- ARGV[6] missing          the field of a job without an image, if its group has none either; or ''
-- ARGV[7] max_jobs         how many unfinished jobs the group may have, or 0
-- ARGV[8] max_bytes        how many bytes these may have, or 0
-- ARGV[9] broker           the sender, if it calls next after this and needs no notification; or ''
-- ARGV[10] group           name
-- ARGV[11] staged          'staged' if the specs are staged payloads, or ''
-- ARGV[12] batch           id of the batch that the jobs are members of, with spaces the id and lease of a running member; or ''
-- ARGV[13] n_words         of a new batch: how many words of ARGV[14] are its fields and values; else 0
-- ARGV[14] jobs            in parts of jobs that are alike: number of jobs, words for each, KIND_WORDS; then for each job: id spec,
--                          or these and after, key, unique, or these and lane: its `key`. Those that a job waits for come before it. settings: JSON of those that
--                          are not the default, or ''; due, start_before, end_before: ms, or + and ms from now on; after: ids, with
--                          spaces; after_on: over or succeeded; unique_until: over, started, or ms; max_wait: ms; each may be ''
--
-- moves   - -> delayed, - -> queued, delayed -> delayed, queued -> queued, delayed -> cancelled
-- reply   now, ms, nil, OUTCOMES, how full the group is in percent, from 80 on; for a repeat with the same Idempotency-Key: now of the
--           first answer, OUTCOMES with a space and note. OUTCOMES: for each job, with commas, for how many jobs it waits, or
--           `key`, or = and the id of the job that has its unique key
-- refuses IDEMPOTENCY_MISMATCH INVALID LIMIT_REACHED STORE_UNAVAILABLE DUPLICATE NOT_FOUND WRONG_STATE LEASE_LOST
-- with    record deadlines idempotency staged_payloads admission group_settings group_limits notify kinds creation new_jobs new_keys
--           (job requeue hooks settling completion dependencies inputs awaiting unique lanes fair_keys key_turns new_turns places conflicts batches lease members
--           new_parents drafts tied_jobs)
local p, now, idempotency_key, digest, ttl_ms, note = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local missing, max_jobs, max_bytes, broker, group = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9], ARGV[10]
local staged, batch, n_words, first = ARGV[11], ARGV[12], tonumber(ARGV[13]), 14

local new_jobs, have_keys, is_tied = new_jobs_in(ARGV, first + n_words, now)
local is_stored, counts, outcomes, first_rank, full = {}, max_bytes > 0 or nil, nil, nil, nil
staged = staged ~= '' and new_ids(new_jobs)

local early = answer_early(p, idempotency_key, digest, missing) or staged and lost_staged(p, staged)
if not early and max_jobs + max_bytes > 0 then
  early, full = over_limit(p, group, #new_jobs, counts and new_bytes(p, new_jobs) or 0, max_jobs, max_bytes)
end
if not early then
  if have_keys then
    local is_any
    is_stored, is_any = stored_keys(p, group, new_jobs)
    is_tied = is_tied or is_any
  end
  if is_tied or batch ~= '' then
    local fields = { unpack(ARGV, first, first + n_words - 1) }
    early, outcomes, first_rank = load_tied_jobs()(p, group, new_jobs, is_stored, now, counts, batch, fields)
  else
    first_rank = create_jobs(p, group, new_jobs, now, counts)
    if have_keys then hold_keys(p, group, new_jobs, now) end
  end
end
if early then
  if staged then delete_staged(p, staged) end
  return early
end

local created_at, maybe_new = digits(now), {}
if first_rank then notify_enqueued(p, { [group] = first_rank }, maybe_new, created_at, broker) end
-- a job that changes another one of the call may have brought a new group into `ready`
if not first_rank or maybe_new[1] or have_keys and outcomes then call('ZADD', p .. ':groups', 'NX', created_at, group) end
outcomes = outcomes and table.concat(outcomes, ',') or string.rep('0,', #new_jobs - 1) .. '0'
if idempotency_key ~= '' then store_answer(p, idempotency_key, digest, created_at, outcomes .. ' ' .. note, ttl_ms) end
return { now, false, outcomes, full }
