-- delete_group: delete some finished jobs of a group without unfinished ones; with the last of them all that is kept of the group.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] group      name
-- ARGV[3] limit      jobs to delete at most
--
-- moves   succeeded -> -, failed -> -, cancelled -> -
-- reply   now, ms; how many jobs are left: with 0 the group is gone; how many of those that it read must be settled first
-- refuses NOT_FOUND WRONG_STATE
-- flags   allow-oom
-- with    record job deletion settling batches schedules
local p, now, group, limit = KEYS[1], clock(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local MOST_IMAGES, MOST_SCHEDULES = 1000, 1000

-- The refusal when the group has jobs that are not finished, or jobs that are in no set; nil to continue.
local function refuse_jobs()
  local unfinished, known = {}, 0
  for _, set in ipairs({ 'delayed', 'queued', 'running', 'succeeded', 'failed', 'cancelled' }) do
    local n = call('ZCARD', set_key(p, group, set))
    if n > 0 and not RETENTION_S[set] then unfinished[#unfinished + 1] = n .. ' ' .. set end
    known = known + n
  end
  if #unfinished > 0 then
    return refuse('WRONG_STATE', 'The group has unfinished jobs: ' .. table.concat(unfinished, ', ') .. '. Cancel them first.')
  end
  local lost = call('ZCARD', set_key(p, group, 'jobs')) - known
  if lost > 0 then return refuse('WRONG_STATE', 'Jobs without a status: ' .. lost .. '. `titan check --repair` gives them one.') end
end

if not call('ZSCORE', p .. ':groups', group) then return refuse('NOT_FOUND', 'There is no such group.') end
local refused = refuse_jobs()
if refused then return refused end

local left, unsettled = 0, 0
for status in pairs(RETENTION_S) do
  local ids = limit > 0 and call('ZRANGE', set_key(p, group, status), 0, limit - 1) or {}
  local settled = settled_of(p, ids)
  delete_jobs(p, group, settled, status, now)
  unsettled = unsettled + #ids - #settled
  limit, left = limit - #ids, left + call('ZCARD', set_key(p, group, status))
end
local ends = limit > 0 and call('ZRANGE', set_key(p, group, 'batches'), 0, limit - 1) or {}
for i, id in ipairs(ends) do ends[i] = 'batch:' .. id end -- as P:settle has those whose callbacks may not exist yet
local settled = settled_of(p, ends)
for _, name in ipairs(settled) do delete_batch(p, group, string.sub(name, #'batch:' + 1)) end
unsettled = unsettled + #ends - #settled
left = left + call('ZCARD', set_key(p, group, 'batches'))
if left > 0 then return { now, left, unsettled } end

for _, set in ipairs({ 'delayed', 'running', 'expiring', 'succeeded', 'failed', 'cancelled', 'rate', 'windows', 'ending' }) do
  call('ZREM', p .. ':due', set .. ':' .. group)
end
for _, index in ipairs({ 'ready', 'rates', 'bytes', 'counted', 'asked', 'groups' }) do call('ZREM', p .. ':' .. index, group) end
for _, fields in ipairs({ { 'dead_letters', group }, { 'turns', group }, { 'modes', 'group:' .. group } }) do call('HDEL', p .. ':' .. fields[1], fields[2]) end
for _, asked in ipairs(call('ZRANGE', p .. ':asked_images', 0, MOST_IMAGES - 1)) do
  if string.match(asked, '^%S+') == group then call('ZREM', p .. ':asked_images', asked) end
end
for _, name in ipairs(call('ZRANGE', set_key(p, group, 'schedules'), 0, MOST_SCHEDULES - 1)) do
  call('DEL', unpack(schedule_keys(schedule_key(p, group, name))))
  call('ZREM', p .. ':schedules', group .. ':' .. name)
end
for _, kind in ipairs({ 'expiring', 'unique', 'windows', 'batches', 'ending', 'schedules', 'keys', 'lanes', 'virtual_time', 'minutes', 'halves', 'times' }) do call('DEL', set_key(p, group, kind)) end
call('DEL', group_key(p, group))
return { now, 0, 0 }
