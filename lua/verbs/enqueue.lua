-- enqueue: create jobs in their groups, all of them or none.
--
-- KEYS[1] partition        name    every key of the partition begins with it
-- ARGV[1] now              ms, or '' for the server's own clock
-- ARGV[2] idempotency_key  group:key, or '' for none
-- ARGV[3] digest           of the body, or ''
-- ARGV[4] ttl_ms           how long the idempotency record is kept, ms
-- ARGV[5] note             what the broker needs to give the same answer again
-- ARGV[6] missing          the field of a job without an image, if its group has none either; or ''
-- ARGV[7] n_queued         the number of jobs without a delay
-- ARGV[8] max_jobs         how many unfinished jobs a group may have, or 0
-- ARGV[9] max_bytes        how many bytes these may have, or 0
-- ARGV[10] broker          the sender, if it calls next after this and needs no notification; or ''
-- ARGV[11] batches         of jobs that are alike: group, number of jobs, priority (n * priority / 2^51 if the group has the
--                          priority_boost n), delay in s, settings (JSON of those that are not the default, or ''); then for
--                          each job: id spec, or id '' if the specs are staged payloads
--
-- moves   - -> delayed, - -> queued
-- reply   now, ms; then if groups are almost full: nil, and for each group its name and percent. For a repeat with the same
--           Idempotency-Key: now and note of the first answer
-- refuses IDEMPOTENCY_MISMATCH INVALID LIMIT_REACHED STORE_UNAVAILABLE
-- with    record idempotency admission group_settings group_limits notify (staged_payloads)
local p, now, idempotency_key, digest, ttl_ms, note = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local missing, n_queued, max_jobs, max_bytes, broker, first = ARGV[6], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10], 11
local payloads, bytes, almost_full = nil, nil, nil
if ARGV[#ARGV] == '' then payloads = load_staged_payloads() end
local staged = payloads and payloads.ids_in(ARGV, first)

local early = answer_early(p, idempotency_key, digest, missing) or staged and payloads.lost(p, staged)
if not early and max_jobs + max_bytes > 0 then early, bytes, almost_full = any_over_limit(p, ARGV, first, max_jobs, max_bytes) end
if early then
  if staged then payloads.delete(p, staged) end
  return early
end

local first_ranks, timers, maybe_new, created_at, at = {}, {}, {}, digits(now), first
local sequence = n_queued ~= '0' and call('INCRBY', p .. ':sequence', n_queued) - n_queued
local records, n_records = {}, 0
while at < #ARGV do
  local group, n, priority, delay_s, settings = unpack(ARGV, at, at + 4)
  local status, score, step = 'queued', (2 - priority) * STEP + (sequence or 0), 1
  if delay_s ~= '0' then status, score, step = 'delayed', now + delay_s * 1000, 0 end
  local begin, counted = build_record(settings, group, created_at, ''), nil
  local index, scores = { 0, 0 }, { 0, 0 } -- preallocated for one job, the usual case with many groups
  at = at + 5
  for i = 1, 2 * n, 2 do
    local id, spec = ARGV[at], ARGV[at + 1]
    at, score = at + 2, score + step
    if max_bytes > 0 and (#spec ~= counted or counted == 0) then -- most specs are as long as the one before
      begin, counted = build_record(with_bytes(settings, spec_bytes(p, id, spec)), group, created_at, ''), #spec
    end
    if staged then call('PERSIST', job_key(p, id)) end
    records[n_records + 1], records[n_records + 2], n_records = id, begin .. store_large_spec(p, id, spec), n_records + 2
    index[i], index[i + 1], scores[i], scores[i + 1] = created_at, id, score, id
  end
  sequence = sequence and sequence + n * step
  call_many('ZADD', set_key(p, group, 'jobs'), index)
  call_many('ZADD', set_key(p, group, status), scores)
  if step == 1 then
    first_ranks[group] = math.min(first_ranks[group] or math.huge, scores[1])
  else
    maybe_new[#maybe_new + 1] = created_at; maybe_new[#maybe_new + 1] = group
    timers[#timers + 1] = score; timers[#timers + 1] = 'delayed:' .. group
  end
end
call_many('HSET', jobs_key(p), records)
if max_bytes > 0 then
  for group, sum in pairs(bytes) do call('ZINCRBY', p .. ':bytes', sum, group) end
end
if sequence then notify_enqueued(p, first_ranks, maybe_new, created_at, broker) end
if #maybe_new > 0 then call('ZADD', p .. ':groups', 'NX', unpack(maybe_new)) end
set_timers(p, timers)
if idempotency_key ~= '' then store_answer(p, idempotency_key, digest, created_at, note, ttl_ms) end

return almost_full and almost_full[1] and { now, false, unpack(almost_full) } or { now }
