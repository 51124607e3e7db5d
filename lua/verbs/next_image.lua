-- next_image: hand out the first jobs of some images; looks at so many jobs from the front of each queue and no more.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] n          how many at most; fewer when they are large
-- ARGV[3] lease      first part of the tokens, a word: a job's is this, '-' and its place
-- ARGV[4] lease_s    length of the leases, or '' for each job's timeout
-- ARGV[5] grace_ms   how much longer than a job's timeout a lease of lease_s may last, ms
-- ARGV[6] broker     for which clients wait: it is told of jobs to come, when there are none; or ''
-- ARGV[7] n_groups   how many names of groups follow; 0 to choose from all
-- ARGV[8] names      of groups; then of images, each as a JSON string
--
-- moves   queued -> running
-- reply   now, ms; for each turn of a group: name, env_vars or nil, and for each job: id place text deliveries
-- refuses -
-- flags   allow-oom
-- with    record rate_limit dispatch long_pollers queue_merge
local p, now, n, lease, lease_s = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local grace_ms, broker, n_groups, first = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), 8
local GROUPS, LOOKS, ALL_LOOKS, LARGEST = 100, math.max(n, 200), n + 1000, 4194304
local wanted, looks, bytes, found = {}, 0, 0, {}
for i = first + n_groups, #ARGV do wanted[ARGV[i]] = true end

local IMAGE = '{"image":' -- a spec begins with it
local function is_wanted(text)
  local at = string.find(text, ' ' .. IMAGE, 1, true) + 1 + #IMAGE
  local image = string.match(text, '^"[^"\\]*"', at)
  if image then return wanted[image] end
  for name in pairs(wanted) do if string.sub(text, at, at - 1 + #name) == name then return true end end
end

local function look_into(group)
  local heads = call('ZRANGE', set_key(p, group.name, 'queued'), 0, math.min(LOOKS, ALL_LOOKS - looks) - 1, 'WITHSCORES')
  local ids, matches = {}, 0
  for i = 1, #heads, 2 do ids[#ids + 1] = heads[i] end
  local texts = #ids > 0 and call('HMGET', jobs_key(p), unpack(ids))
  for i = 1, #ids do
    if matches >= math.min(n, group.room) or bytes >= LARGEST then return end
    local id, place, text = ids[i], heads[2 * i], with_spec(p, ids[i], texts[i])
    looks, bytes = looks + 1, bytes + #(text or '')
    if text and is_wanted(text) then
      matches = matches + 1
      found[#found + 1] = { group = group, id = id, place = place, score = tonumber(place), text = text }
    end
  end
end

local heads, groups = ready_groups(p, { unpack(ARGV, first, first + n_groups - 1) }, GROUPS), {}
for i = 1, math.min(#heads, 2 * GROUPS), 2 do
  if looks >= ALL_LOOKS or bytes >= LARGEST then break end
  local group = { name = heads[i], taken = {} }
  groups[#groups + 1] = group
  open(p, group, now)
  look_into(group)
end
table.sort(found, function(a, b) return a.score < b.score end)

local reply, handing = { now }, new_batch(now, lease, lease_s, grace_ms)
for i = 1, math.min(n, #found) do
  local group, id = found[i].group, found[i].id
  group.taken[#group.taken + 1] = id
  hand_out(handing, reply, group, id, found[i].place, found[i].text, call('HGET', executions_key(p), id))
end
write_running(p, handing, groups)
for i = 1, #groups do
  local name, taken, rate = groups[i].name, groups[i].taken, groups[i].rate
  many('ZREM', set_key(p, name, 'queued'), taken)
  if #taken > 0 or rate then refresh_ready(p, name) end
end
if #found == 0 and broker ~= '' then
  note_poller(p, 'pollers', broker, now)
  note_poller(p, 'image_pollers', broker, now)
end

return reply
