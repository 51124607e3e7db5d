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
-- ARGV[12] jobs            for each: id spec priority settings due start_before end_before. settings: JSON, or '' for the
--                          defaults. The last three: ms; or + and ms from now on; or ''
--
-- moves   - -> delayed, - -> queued
-- reply   now, ms; for a repeat with the same Idempotency-Key: now and note of the first answer
-- refuses IDEMPOTENCY_MISMATCH INVALID LIMIT_REACHED STORE_UNAVAILABLE
-- with    record deadlines creation idempotency staged_payloads admission job requeue group_settings group_limits notify
local p, now, idempotency_key, digest, ttl_ms, note = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local missing, max_jobs, max_bytes, broker, group = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9], ARGV[10]
local staged, first = ARGV[11], 12
local WORDS, created_at = 7, digits(now)

local ids, bytes = {}, 0
for at = first, #ARGV, WORDS do
  ids[#ids + 1], bytes = ARGV[at], bytes + spec_bytes(p, ARGV[at], ARGV[at + 1])
end
local early = answer_early(p, idempotency_key, digest, missing, staged ~= '' and ids)
if not early and max_jobs + max_bytes > 0 then early = over_limit(p, group, #ids, bytes, max_jobs, max_bytes) end
if early then
  if staged ~= '' then delete_staged(p, ids) end
  return early
end

local first_rank
local function create(id, spec, priority, settings, due, start_before, end_before)
  local deadlines = { start_before = time_in(start_before, now), end_before = time_in(end_before, now) }
  local size = max_bytes > 0 and spec_bytes(p, id, spec)
  due = time_in(due, now) or now
  local head = build_record(full_settings(settings, now, due, deadlines, size), group, created_at, '')
  if staged ~= '' then call('PERSIST', job_key(p, id)) end
  call('HSET', jobs_key(p), id, head .. store_large_spec(p, id, spec))
  call('ZADD', set_key(p, group, 'jobs'), created_at, id)
  if due > now then
    call('ZADD', set_key(p, group, 'delayed'), digits(due), id)
    set_timer(p, 'delayed', group, due)
  else
    local rank = new_rank(p, tonumber(priority))
    call('ZADD', set_key(p, group, 'queued'), rank, id)
    first_rank = math.min(first_rank or rank, rank)
  end
  if deadlines.start_before or deadlines.end_before then set_deadline(p, group, id, deadlines, 0) end
end

for at = first, #ARGV, WORDS do create(unpack(ARGV, at, at + WORDS - 1)) end
if max_bytes > 0 then call('ZINCRBY', p .. ':bytes', bytes, group) end
call('ZADD', p .. ':groups', 'NX', created_at, group)
if first_rank then notify_enqueued(p, { [group] = first_rank }, {}, created_at, broker) end
if idempotency_key ~= '' then store_answer(p, idempotency_key, digest, created_at, note, ttl_ms) end

return { now }
