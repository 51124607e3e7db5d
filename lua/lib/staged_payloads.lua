-- For enqueue and admit: staged payloads, large specs that the broker sends before its enqueue. Each is a P:job:<id> that has
-- only the field `spec` and expires. In the words of a script the spec of such a job is ''; all jobs are staged, or none.

-- The ids of the jobs in the batches of enqueue.
local function ids_in(batches, at)
  local ids = {}
  while at < #batches do
    local first = at + 5
    at = first + 2 * batches[at + 1]
    for i = first, at - 1, 2 do ids[#ids + 1] = batches[i] end
  end
  return ids
end

local function staged_keys(p, ids)
  local keys = {}
  for i = 1, #ids do keys[i] = job_key(p, ids[i]) end
  return keys
end

-- The refusal if a staged payload is missing, else nil.
local function lost_staged(p, ids)
  if call('EXISTS', unpack(staged_keys(p, ids))) == #ids then return nil end
  return refuse('STORE_UNAVAILABLE', 'The store lost what was sent ahead of the jobs; nothing was enqueued.')
end

local function delete_staged(p, ids) call('DEL', unpack(staged_keys(p, ids))) end

local staged_payloads = { ids_in = ids_in, lost = lost_staged, delete = delete_staged } -- for enqueue, which loads it late
