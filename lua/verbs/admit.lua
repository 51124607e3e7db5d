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
-- ARGV[12] jobs            for each NEW_FIELDS; those that it waits for come before it. settings: JSON of those that are not the
--                          default, or ''; due, start_before, end_before: ms, or + and ms from now on; after: ids, with spaces;
--                          after_on: over or succeeded; unique_until: over, started, or ms; max_wait: ms; each may be ''
--
-- moves   - -> delayed, - -> queued, delayed -> delayed, queued -> queued, delayed -> cancelled
-- reply   now, ms, nil, OUTCOMES; for a repeat with the same Idempotency-Key: now of the first answer, OUTCOMES with a space and
--           note. OUTCOMES: for each job, with commas, for how many jobs it waits, or = and the id of the job that has its key
-- refuses IDEMPOTENCY_MISMATCH INVALID LIMIT_REACHED STORE_UNAVAILABLE DUPLICATE
-- with    record deadlines idempotency staged_payloads admission job requeue hooks settling completion dependencies awaiting unique
--           creation conflicts admitting group_settings group_limits notify
local p, now, idempotency_key, digest, ttl_ms, note = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local missing, max_jobs, max_bytes, broker, group = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9], ARGV[10]
local staged, first = ARGV[11], 12
local is_staged, counts = staged ~= '', max_bytes > 0 or nil
local new_jobs, ids, is_new, bytes = new_jobs_in(p, ARGV, first), {}, {}, 0
for i, new in ipairs(new_jobs) do ids[i], is_new[new.id], bytes = new.id, true, bytes + new.size end
local early = answer_early(p, idempotency_key, digest, missing, is_staged and ids)
if not early and max_jobs + max_bytes > 0 then early = over_limit(p, group, #ids, bytes, max_jobs, max_bytes) end
early = early or refused_parents(p, new_jobs, is_new) or refused_key(p, group, new_jobs, now)
if early then
  if is_staged then delete_staged(p, ids) end
  return early
end

local first_rank, outcomes, made_as = nil, {}, {}
bytes = 0

for i, new in ipairs(new_jobs) do
  local outcome, rank = admit_job(p, group, new, now, counts, made_as)
  if rank then first_rank = math.min(first_rank or rank, rank) end
  if string.sub(outcome, 1, 1) ~= '=' then bytes = bytes + new.size end
  outcomes[i] = outcome
end
if counts and bytes > 0 then call('ZINCRBY', p .. ':bytes', bytes, group) end
call('ZADD', p .. ':groups', 'NX', digits(now), group)
if first_rank then notify_enqueued(p, { [group] = first_rank }, {}, digits(now), broker) end
outcomes = table.concat(outcomes, ',')
if idempotency_key ~= '' then store_answer(p, idempotency_key, digest, digits(now), outcomes .. ' ' .. note, ttl_ms) end

return { now, false, outcomes }
