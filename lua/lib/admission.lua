-- For enqueue and admit: what decides before the first job is created.

-- The first answer to this Idempotency-Key, or a refusal; nil to continue.
local function answer_early(p, idempotency_key, digest, missing)
  local before = idempotency_key ~= '' and stored_answer(p, idempotency_key, digest)
  if before then return before end
  if missing ~= '' then return refuse('INVALID', missing .. ' An image is needed: the group has none of its own.') end
end
