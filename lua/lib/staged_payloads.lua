-- Put before the scripts that take new jobs of clients: jobs whose specs were sent ahead. Of each there is a hash that has
-- only that and expires; its spec in the runs of enqueue is ''.

local function are_ahead(runs) return runs[#runs] == '' end

-- visit(group, id, spec) for each job in the runs of enqueue
local function each_new(runs, at, visit)
  while at < #runs do
    local group, job = runs[at], at + 5
    at = job + 2 * runs[at + 1]
    for i = job, at - 1, 2 do visit(group, runs[i], runs[i + 1]) end
  end
end

local function keys_of_new(p, runs, at)
  local keys = {}
  each_new(runs, at, function(_, id) keys[#keys + 1] = job_key(p, id) end)
  return keys
end

-- the refusal when not all of it is there any more, or nil
local function lost_ahead(p, runs, at)
  local keys = keys_of_new(p, runs, at)
  if call('EXISTS', unpack(keys)) == #keys then return nil end
  return refuse('STORE_UNAVAILABLE', 'The store lost what was sent ahead of the jobs; nothing was enqueued.')
end

local function forget_ahead(p, runs, at) call('DEL', unpack(keys_of_new(p, runs, at))) end
