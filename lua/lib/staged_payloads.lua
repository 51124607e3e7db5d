-- For enqueue, admit and retry: staged payloads, large specs that the broker sends before its enqueue. Each is a P:job:<id> that
-- has only the field `spec` and expires. In the words of a script the spec of such a job is ''; all jobs are staged, or none.

local function are_staged(batches) return batches[#batches] == '' end

-- Calls visit(group, id, spec) for each job in the batches of enqueue.
local function each_new_job(batches, at, visit)
  while at < #batches do
    local group, job = batches[at], at + 5
    at = job + 2 * batches[at + 1]
    for i = job, at - 1, 2 do visit(group, batches[i], batches[i + 1]) end
  end
end

-- The ids of the jobs in the batches of enqueue.
local function ids_in(batches, at)
  local ids = {}
  each_new_job(batches, at, function(_, id) ids[#ids + 1] = id end)
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
