-- Put before enqueue: its answers to calls with an Idempotency-Key, kept as digest of the body, now and note.

-- the answer given before, its now and its note, or the refusal; nil when there was none
local function answered(p, key, digest)
  local before = call('GET', p .. ':answer:' .. key)
  if not before then return nil end
  local its_digest, its_now, its_note = string.match(before, '^(%S*) (%S*) (.*)$')
  if its_digest ~= digest then return refuse('IDEMPOTENCY_MISMATCH', 'This Idempotency-Key was used with another body.') end
  return { its_now, its_note }
end

local function keep_answer(p, key, digest, now, note, kept_ms)
  call('SET', p .. ':answer:' .. key, digest .. ' ' .. now .. ' ' .. note, 'PX', kept_ms)
end
