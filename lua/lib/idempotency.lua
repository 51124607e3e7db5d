-- For enqueue: idempotency records, the first answers to an Idempotency-Key: digest of the body, now (ms) and note.

-- The first answer (now and note), or the refusal if its body was another one; nil if there is no record.
local function stored_answer(p, key, digest)
  local stored = call('GET', p .. ':answer:' .. key)
  if not stored then return nil end
  local stored_digest, stored_now, stored_note = string.match(stored, '^(%S*) (%S*) (.*)$')
  if stored_digest ~= digest then return refuse('IDEMPOTENCY_MISMATCH', 'This Idempotency-Key was used with another body.') end
  return { stored_now, stored_note }
end

local function store_answer(p, key, digest, now, note, ttl_ms)
  call('SET', p .. ':answer:' .. key, digest .. ' ' .. now .. ' ' .. note, 'PX', ttl_ms)
end
