-- next_image: dispatch the first jobs of some images; reads a limited number of jobs from the front of each queue.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] n          jobs at most; fewer if they are large
-- ARGV[3] lease      first part of the tokens, a word; the rest is '-' and the rank of the job
-- ARGV[4] lease_s    length of the leases, or '' for each job's timeout
-- ARGV[5] grace_ms   how much longer than a job's timeout a lease of lease_s may last, ms
-- ARGV[6] broker     the sender, if clients wait: it is notified of new jobs if there are none now; or ''
-- ARGV[7] order      'fair' if groups take turns, or ''
-- ARGV[8] n_groups   the number of group names that follow; 0 to select from all
-- ARGV[9] names      of groups; then of images, each as a JSON string
--
-- moves   queued -> running
-- reply   now, ms; for each sequence of jobs of one group: name, env_vars or nil, and for each job: id rank record deliveries
-- refuses -
-- flags   allow-oom
-- with    record group_settings rate_limit lease_limit dispatch long_pollers queue_merge (turns image_turns)
local p, now, n, lease, lease_s = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local grace_ms, broker, order, n_groups, first = tonumber(ARGV[5]), ARGV[6], ARGV[7], tonumber(ARGV[8]), 9
-- Limits of one call: groups, jobs read from one queue, jobs read in all, bytes of records read in all.
local GROUPS, QUEUE_READS, CALL_READS, READ_BYTES = 100, math.max(n, 200), n + 1000, 4194304
local images, n_read, bytes, found = {}, 0, 0, {}
for i = first + n_groups, #ARGV do images[ARGV[i]] = true end

local IMAGE = '{"image":' -- every spec begins with this
local function is_match(record)
  local at = string.find(record, ' ' .. IMAGE, 1, true) + 1 + #IMAGE
  local image = string.match(record, '^"[^"\\]*"', at)
  if image then return images[image] end
  for name in pairs(images) do if string.sub(record, at, at - 1 + #name) == name then return true end end
end

local function search_queue(group)
  local queued = call('ZRANGE', set_key(p, group.name, 'queued'), 0, math.min(QUEUE_READS, CALL_READS - n_read) - 1, 'WITHSCORES')
  local ids, matches = {}, 0
  for i = 1, #queued, 2 do ids[#ids + 1] = queued[i] end
  local records = #ids > 0 and call('HMGET', jobs_key(p), unpack(ids))
  for i = 1, #ids do
    if matches >= math.min(n, group.room) or bytes >= READ_BYTES then return end
    local id, rank, record = ids[i], queued[2 * i], with_spec(p, ids[i], records[i])
    n_read, bytes = n_read + 1, bytes + #(record or '')
    if record and is_match(record) then
      matches = matches + 1
      found[#found + 1] = { group = group, id = id, rank = rank, score = tonumber(rank), record = record }
    end
  end
end

local ready, groups = ready_groups(p, { unpack(ARGV, first, first + n_groups - 1) }, GROUPS), {}
local are_set = any_set(p, names_of({ unpack(ready, 1, 2 * GROUPS) }))
for i = 1, math.min(#ready, 2 * GROUPS), 2 do
  if n_read >= CALL_READS or bytes >= READ_BYTES then break end
  local group = { name = ready[i], taken = {}, score = tonumber(ready[i + 1]), room = math.huge }
  groups[#groups + 1] = group
  if are_set then read_settings(p, group, now, order == 'fair') end
  search_queue(group)
end
found = order == 'fair' and load_image_turns()(p, n, found) or found
if not found.is_in_turns then table.sort(found, function(a, b) return a.score < b.score end) end
local reply, batch, ids = { now }, new_batch(p, now, lease, lease_s, grace_ms), {}
for i = 1, math.min(n, #found) do ids[i] = found[i].id end
local before = ids[1] and call('HMGET', executions_key(p), unpack(ids))
for i = 1, #ids do
  local group = found[i].group
  group.taken[#group.taken + 1] = ids[i]
  dispatch(batch, reply, group, ids[i], found[i].rank, found[i].record, before[i])
end
write_running(p, batch, groups)
for i = 1, #groups do
  local name, taken = groups[i].name, groups[i].taken
  call_many('ZREM', set_key(p, name, 'queued'), taken)
  if #taken > 0 or groups[i].is_held then refresh_ready(p, name, not are_set) end
end
if #found == 0 and broker ~= '' then
  add_poller(p, 'pollers', broker, now)
  add_poller(p, 'image_pollers', broker, now)
end

return reply
