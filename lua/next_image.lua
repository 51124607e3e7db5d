-- next_image: hand out the first jobs of some images; looks at so many jobs from the front of each queue and no more.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] n          how many at most; fewer when they are large
-- ARGV[3] lease      first part of the tokens: a job's is this, '-' and its place
-- ARGV[4] lease_s    length of the leases, or '' for each job's timeout
-- ARGV[5] n_groups   how many names of groups follow; 0 to choose from all
-- ARGV[6] names      of groups; then of images, each as a JSON string
--
-- moves   queued -> running
-- reply   now, ms; for each group in turn: name, env_vars, and for each job: READ (nil if not set) id place deliveries
-- refuses -
-- flags   allow-oom
-- with    _rates _handing
local p, now, n, lease, lease_s = KEYS[1], clock(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local n_groups, names = tonumber(ARGV[5]), { unpack(ARGV, 6) }
local GROUPS, LOOKS, ALL_LOOKS, LARGEST = 100, math.max(n, 200), n + 1000, 8388608
local wanted, looks, bytes, found, taken = {}, 0, 0, {}, {}
for i = n_groups + 1, #names do wanted[names[i]] = true end

-- groups that may hand out, the one with the first job first
local function ready_groups()
  if n_groups == 0 then return call('ZRANGE', p .. ':ready', 0, GROUPS - 1) end
  local heads, groups = {}, {}
  local scores = call('ZMSCORE', p .. ':ready', unpack(names, 1, n_groups))
  for i = 1, n_groups do if scores[i] then heads[#heads + 1] = { tonumber(scores[i]), names[i] } end end
  table.sort(heads, function(a, b) return a[1] < b[1] end)
  for i = 1, math.min(#heads, GROUPS) do groups[i] = heads[i][2] end
  return groups
end

local function is_wanted(spec)
  local image = string.match(spec, '^{"image":("[^"\\]*")')
  if image then return wanted[image] end
  for name in pairs(wanted) do if string.sub(spec, 10, 9 + #name) == name then return true end end
end

local function look_into(group)
  local most, env_vars, rate = room(p, group)
  if rate then most = math.min(most, allowance(p, group, rate, now)) end
  local heads = call('ZRANGE', set_key(p, group, 'queued'), 0, math.min(LOOKS, ALL_LOOKS - looks) - 1, 'WITHSCORES')
  local matches = 0
  for i = 1, #heads, 2 do
    if matches >= math.min(n, most) or bytes >= LARGEST then return end
    local job = read(p, heads[i])
    looks, bytes = looks + 1, bytes + #(job and job[1] or '')
    if job and is_wanted(job[1]) then
      matches = matches + 1
      found[#found + 1] = { tonumber(heads[i + 1]), heads[i], heads[i + 1], group, env_vars, most, rate, job }
    end
  end
end

for _, group in ipairs(ready_groups()) do
  if looks < ALL_LOOKS and bytes < LARGEST then look_into(group) end
end
table.sort(found, function(a, b) return a[1] < b[1] end)

local reply, started_at = { now }, whole(now)
for i = 1, math.min(n, #found) do
  local _, id, place, group, env_vars, most, rate, job = unpack(found[i], 1, 8)
  local ends, last = hand_out(p, job, id, place, now, started_at, lease, lease_s), reply[#reply]
  if #reply == 1 or last[1] ~= group then last = { group, env_vars }; reply[#reply + 1] = last end
  last[#last + 1] = job
  local own = taken[group] or { ids = {}, running = {}, first_end = math.huge, most = most, rate = rate }
  taken[group], own.ids[#own.ids + 1], own.first_end = own, id, math.min(own.first_end, ends)
  own.running[#own.running + 1] = ends; own.running[#own.running + 1] = id
end
for group, own in pairs(taken) do file_running(p, group, own.ids, own.running, own.first_end, own.most, own.rate, now) end
if #found == 0 then
  note_waiting(p)
  call('SET', p .. ':awaited', '1', 'PX', WAITING_MS)
end

return reply
