-- schedules: read schedules: one, some of a group, of the partition or of those that are due; or what the last times of one came to.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] what       show, list, due, all or fires; of a schedule that does not exist show gives none
-- ARGV[3] group      name; '' for due and all
-- ARGV[4] name       of the schedule; of list the last name of the page before, or ''; of all how many to leave out
-- ARGV[5] n          schedules, or fires, at most; fewer when they are large
--
-- moves   -
-- reply   now, ms; of fires the lines; of list how many names the page has; then for each schedule: group, name, when it fires
--           next, ms, the image of its group or '', field value…
-- refuses NOT_FOUND
-- flags   no-writes
-- with    schedules
local p, now, what, group, name, n = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local reply, bytes, LARGEST = { now }, 0, 1048576

local function append(its_group, its_name)
  local fields = call('HGETALL', schedule_key(p, its_group, its_name))
  if #fields == 0 then return end
  local score = call('ZSCORE', p .. ':schedules', its_group .. ':' .. its_name) or digits(NEVER)
  local row = { its_group, its_name, score, call('HGET', group_key(p, its_group), 'image') or '' }
  for i = 1, #fields do row[#row + 1], bytes = fields[i], bytes + #fields[i] end
  reply[#reply + 1] = row
end

-- Appends schedules, `group:name`, until they are too large for one reply.
local function append_all(members)
  for i = 1, #members do
    local its_group, its_name = string.match(members[i], '^([^:]+):(.+)$')
    append(its_group, its_name)
    if bytes >= LARGEST then return end
  end
end

if what == 'fires' then
  if call('EXISTS', schedule_key(p, group, name)) == 0 then return refuse('NOT_FOUND', 'There is no such schedule in this group.') end
  return { now, unpack(call('LRANGE', schedule_key(p, group, name) .. ':fires', 0, n - 1)) }
elseif what == 'show' then
  append(group, name)
elseif what == 'list' then
  local names = call('ZRANGEBYLEX', set_key(p, group, 'schedules'), name == '' and '-' or '(' .. name, '+', 'LIMIT', 0, n)
  for i = 1, #names do names[i] = group .. ':' .. names[i] end
  reply[2] = #names
  append_all(names)
elseif what == 'due' then
  append_all(call('ZRANGEBYSCORE', p .. ':schedules', '-inf', now, 'LIMIT', 0, n))
else
  append_all(call('ZRANGEBYSCORE', p .. ':schedules', '-inf', '(' .. NEVER, 'LIMIT', name, n))
end
return reply
