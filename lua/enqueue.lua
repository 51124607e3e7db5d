-- enqueue: put new jobs into a group, all of them or none.
--
-- KEYS[1] partition        name    every key of the partition begins with it
-- ARGV[1] now              ms, or '' for the server's own clock
-- ARGV[2] group            name
-- ARGV[3] idempotency_key  text, or '' for none
-- ARGV[4] digest           of the body, or ''
-- ARGV[5] kept_ms          how long the answer is kept, ms
-- ARGV[6] note             what the broker needs to give the same answer again
-- ARGV[7] missing          the field of a job that has no image, nor has its group; or ''
-- ARGV[8] jobs             for each: id delay priority timeout max_retries retries_delay spec; '' for a default
--
-- moves   - -> delayed, - -> queued
-- reply   now, ms; or, of an answer given before: its now and its note
-- refuses IDEMPOTENCY_MISMATCH INVALID
local p, now, group = KEYS[1], clock(ARGV[1]), ARGV[2]
local idempotency_key, digest, kept_ms, note, missing, first = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], 8
local FIELDS = { 'delay', 'priority', 'timeout', 'max_retries', 'retries_delay', 'spec' }

local answer = p .. ':answer:' .. group .. ':' .. idempotency_key
if idempotency_key ~= '' then
  local before = call('GET', answer)
  if before then
    local its_digest, its_now, its_note = string.match(before, '^(%S*) (%S*) (.*)$')
    if its_digest ~= digest then return refuse('IDEMPOTENCY_MISMATCH', 'This Idempotency-Key was used with another body.') end
    return { its_now, its_note }
  end
end
if missing ~= '' then return refuse('INVALID', missing .. ' An image is needed: the group has none of its own.') end

local sequence
local index, queued, delayed, first_due = {}, {}, {}, math.huge
for at = first, #ARGV, 7 do
  local id, delay, priority = ARGV[at], tonumber(ARGV[at + 1]) or 0, tonumber(ARGV[at + 2]) or 0
  local values = { 'group_name', group, 'status', delay > 0 and 'delayed' or 'queued', 'created_at', now }
  for i = 1, 6 do
    if ARGV[at + i] ~= '' then values[#values + 1] = FIELDS[i]; values[#values + 1] = ARGV[at + i] end
  end
  if delay > 0 then
    local due = now + delay * 1000
    first_due = math.min(first_due, due)
    delayed[#delayed + 1] = due; delayed[#delayed + 1] = id
  else
    sequence = (sequence or tonumber(call('GET', p .. ':sequence') or 0)) + 1
    queued[#queued + 1] = (2 - priority) * STEP + sequence; queued[#queued + 1] = id
  end
  call('HSET', job_key(p, id), unpack(values))
  index[#index + 1] = now; index[#index + 1] = id
end
call('ZADD', p .. ':groups', 'NX', now, group)
many('ZADD', set_key(p, group, 'jobs'), index)
if #delayed > 0 then
  many('ZADD', set_key(p, group, 'delayed'), delayed)
  set_timer(p, 'delayed', group, first_due)
end
if sequence then
  call('SET', p .. ':sequence', sequence)
  many('ZADD', set_key(p, group, 'queued'), queued)
  refresh_ready(p, group)
end
if idempotency_key ~= '' then call('SET', answer, digest .. ' ' .. whole(now) .. ' ' .. note, 'PX', kept_ms) end

return { now }
