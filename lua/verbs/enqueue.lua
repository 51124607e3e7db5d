-- enqueue: put new jobs into their groups, all of them or none.
--
-- KEYS[1] partition        name    every key of the partition begins with it
-- ARGV[1] now              ms, or '' for the server's own clock
-- ARGV[2] idempotency_key  group:key, or '' for none
-- ARGV[3] digest           of the body, or ''
-- ARGV[4] kept_ms          how long the answer is kept, ms
-- ARGV[5] note             what the broker needs to give the same answer again
-- ARGV[6] missing          the field of a job that has no image, nor has its group; or ''
-- ARGV[7] total            how many of the jobs have no delay
-- ARGV[8] max_jobs         that a group may have unfinished, or 0
-- ARGV[9] max_bytes        that these may have, or 0
-- ARGV[10] broker          that sends this and looks for jobs behind it, so it need not be told of them; or ''
-- ARGV[11] runs            of jobs that are alike: group, how many, priority, delay in s, settings, JSON of those that are not
--                          the default, or ''; then for each job: id spec, or id '' for all where these were sent ahead
--
-- moves   - -> delayed, - -> queued
-- reply   now, ms; or, of an answer given before: its now and its note
-- refuses IDEMPOTENCY_MISMATCH INVALID LIMIT_REACHED STORE_UNAVAILABLE
-- with    record idempotency staged_payloads group_settings group_limits notify
local p, now, idempotency_key, digest, kept_ms, note = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local missing, total, max_jobs, max_bytes, broker, first = ARGV[6], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10], 11
local is_ahead, bytes = are_ahead(ARGV)

-- the answer given before, or the refusal, or nil
local function answer_early()
  local before = idempotency_key ~= '' and answered(p, idempotency_key, digest)
  if before then return before end
  if missing ~= '' then return refuse('INVALID', missing .. ' An image is needed: the group has none of its own.') end
  local refused = is_ahead and lost_ahead(p, ARGV, first)
  if not refused and max_jobs + max_bytes > 0 then refused, bytes = any_over_limit(p, ARGV, first, max_jobs, max_bytes) end
  return refused
end

local early = answer_early()
if early then
  if is_ahead then forget_ahead(p, ARGV, first) end
  return early
end

local firsts, timers, known, created_at, at = {}, {}, {}, whole(now), first
local sequence = total ~= '0' and call('INCRBY', p .. ':sequence', total) - total
local texts, n_texts = {}, 0
while at < #ARGV do
  local group, n, priority, delay_s, settings = unpack(ARGV, at, at + 4)
  local status, score, step = 'queued', (2 - priority) * STEP + (sequence or 0), 1
  if delay_s ~= '0' then status, score, step = 'delayed', now + delay_s * 1000, 0 end
  local begin = text_of(settings, group, created_at, '')
  local index, scores = { 0, 0 }, { 0, 0 } -- with room for the one job that most runs of many groups have
  at = at + 5
  for i = 1, 2 * n, 2 do
    local id, spec = ARGV[at], ARGV[at + 1]
    at, score = at + 2, score + step
    if max_bytes > 0 then begin = text_of(counted(settings, spec_bytes(p, id, spec)), group, created_at, '') end
    if is_ahead then call('PERSIST', job_key(p, id)) end
    texts[n_texts + 1], texts[n_texts + 2], n_texts = id, begin .. put_away(p, id, spec), n_texts + 2
    index[i], index[i + 1], scores[i], scores[i + 1] = created_at, id, score, id
  end
  sequence = sequence and sequence + n * step
  many('ZADD', set_key(p, group, 'jobs'), index)
  many('ZADD', set_key(p, group, status), scores)
  if step == 1 then
    firsts[group] = math.min(firsts[group] or math.huge, scores[1])
  else
    known[#known + 1] = created_at; known[#known + 1] = group
    timers[#timers + 1] = score; timers[#timers + 1] = 'delayed:' .. group
  end
end
many('HSET', jobs_key(p), texts)
if max_bytes > 0 then
  for group, sum in pairs(bytes) do call('ZINCRBY', p .. ':bytes', sum, group) end
end
if sequence then notify_enqueued(p, firsts, known, created_at, broker) end
if #known > 0 then call('ZADD', p .. ':groups', 'NX', unpack(known)) end
set_timers(p, timers)
if idempotency_key ~= '' then keep_answer(p, idempotency_key, digest, created_at, note, kept_ms) end

return { now }
