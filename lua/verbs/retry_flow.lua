-- retry_flow: repeat a finished job, and the jobs that were cancelled since it did not succeed; they wait for each other as before.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] group      name
-- ARGV[3] id         of the finished job
-- ARGV[4] max_jobs   how many unfinished jobs a group without a limit of its own may have, or 0
-- ARGV[5] max_bytes  how many bytes these may have, or 0
-- ARGV[6] actor      who does it, for the history; or ''
-- ARGV[7] most_edges for how many jobs those that it makes again may wait, in all
-- ARGV[8] new_ids    of the new jobs, as many as it may create at most
--
-- moves   succeeded -> succeeded, failed -> failed, cancelled -> cancelled
-- reply   the new job: id field value field value…; then for each other new job: group, id of the old one, id of the new one
-- refuses NOT_FOUND WRONG_STATE INVALID LIMIT_REACHED DUPLICATE
-- with    record job requeue hooks settling dependencies inputs awaiting undone rewiring group_limits own_limits history unique lanes fair_keys key_turns places
local p, now, group, id, n_words = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], 7
local max_jobs, max_bytes, actor, most_edges = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local most, jobs, is_found, n_edges = #ARGV - n_words, {}, {}, 0

-- Appends a job to those that are repeated, unless it is among them already.
local function add(its_group, its_id)
  local old = not is_found[its_id] and find_job(p, its_group, its_id, 'retry_at', 'unique_key', 'key', 'after', 'after_on')
  if not old or #jobs > 0 and (old.status ~= 'cancelled' or old.retry_at) then return old end
  is_found[its_id], jobs[#jobs + 1] = true, old
  old.group, old.id, old.new_id = its_group, its_id, ARGV[n_words + #jobs]
  n_edges = n_edges + select(2, string.gsub(old.after or '', '%S+', ''))
  return old
end

local root = add(group, id)
if not root then return not_found() end
if not RETENTION_S[root.status] then return wrong_state(root) end
if root.retry_at then return wrong_state(root, 'It was retried already, as ' .. root.retry_at .. '.') end
local at = 0
while jobs[at + 1] and #jobs <= most and n_edges <= most_edges do
  at = at + 1
  for _, member in ipairs(call('ZRANGE', undone_key(p, jobs[at].id), 0, most)) do add(string.match(member, '^(%S+) (%S+)$')) end
end
if #jobs > most then return refuse('LIMIT_REACHED', 'It would make more than ' .. digits(most) .. ' jobs.') end
if n_edges > most_edges then
  return refuse('INVALID', 'dependants The jobs to be made again have more than ' .. digits(most_edges) .. ' entries in `after` together.')
end
local sums, is_taken = {}, {}
for _, old in ipairs(jobs) do
  local sum, key = sums[old.group] or { jobs = 0, bytes = 0 }, old.unique_key and old.group .. ' ' .. old.unique_key
  local _, _, _, holder_id = holder_of(p, old.group, old.unique_key or '', now)
  if holder_id and not is_found[holder_id] then return refuse('DUPLICATE', 'The job ' .. holder_id .. ' holds its unique key.') end
  if key and is_taken[key] then return refuse('DUPLICATE', 'Two of the jobs have the same unique key.') end
  if key then is_taken[key] = true end
  sums[old.group] = { jobs = sum.jobs + 1, bytes = sum.bytes + old.size }
end
for name, sum in pairs(sums) do
  local most_jobs, most_bytes = limits_of(p, name, max_jobs, max_bytes)
  local refused = most_jobs + most_bytes > 0 and over_limit(p, name, sum.jobs, sum.bytes, most_jobs, most_bytes)
  if refused then return refused end
  sum.counts = most_bytes > 0
end

local new_ids, reply = {}, { '' }

for _, old in ipairs(jobs) do
  local how = { counts = sums[old.group].counts, hooks = (old.unique_key or old.scheduled_for or old.key) and 2 }
  create_retry(p, old.group, old.id, old.new_id, 0, old.max_retries or 0, now, how)
  move_key(p, old.group, old.id, old.new_id, now)
  note_move(p, old.id, now, 'retried', actor, old, old.status, 'job', old.new_id)
  new_ids[old.id] = old.new_id
end
local read = {}
for i = 2, #jobs do
  rewire(p, jobs[i], new_ids, now, read)
  reply[#reply + 1] = jobs[i].group; reply[#reply + 1] = jobs[i].id; reply[#reply + 1] = jobs[i].new_id
end
for _, old in ipairs(jobs) do pass_key_on(p, old.group, old.id, old.new_id) end
for name in pairs(sums) do refresh_ready(p, name) end
reply[1] = read_row(p, group, root.new_id)
return reply
