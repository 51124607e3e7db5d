-- For enqueue and retry: staged payloads, large specs that the broker sends before its enqueue. Each is a P:job:<id> that has
-- only the field `spec` and expires. In the batches of enqueue the spec of such a job is ''; all jobs are staged, or none.

local function are_staged(batches) return batches[#batches] == '' end

-- Calls visit(group, id, spec) for each job in the batches of enqueue.
local function each_new_job(batches, at, visit)
  while at < #batches do
    local group, job = batches[at], at + 5
    at = job + 2 * batches[at + 1]
    for i = job, at - 1, 2 do visit(group, batches[i], batches[i + 1]) end
  end
end

local function staged_keys(p, batches, at)
  local keys = {}
  each_new_job(batches, at, function(_, id) keys[#keys + 1] = job_key(p, id) end)
  return keys
end

-- The refusal if a staged payload is missing, else nil.
local function lost_staged(p, batches, at)
  local keys = staged_keys(p, batches, at)
  if call('EXISTS', unpack(keys)) == #keys then return nil end
  return refuse('STORE_UNAVAILABLE', 'The store lost what was sent ahead of the jobs; nothing was enqueued.')
end

local function delete_staged(p, batches, at) call('DEL', unpack(staged_keys(p, batches, at))) end
