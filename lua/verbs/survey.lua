-- survey: read a step of a hash or of a group's sets, and find the ids that `check` must look at.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] kind       'jobs', 'executions', or 'sets'
-- ARGV[2] n          ids to read, about
-- ARGV[3] cursor     of the hash, '0' at first; of sets how many of them were read
-- ARGV[4] only       group that jobs are of, or ''
-- ARGV[5] sets       for each: group, set, and score and id of the last member that was read, or two ''
--
-- moves   -
-- reply   the next cursor; score and id of the last member in the set that it points to, or ''; how many ids were read, without
--           those in `expiring`; then for each group with such ids, '' for executions: its name, and the ids
-- refuses -
-- flags   no-writes
-- with    record job requeue hooks dependencies inputs awaiting settling consistency paging
local p, kind, n, cursor, only, first = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], 5
local reply, found = { cursor, '', '', 0 }, {}

local function suspect(group, id)
  if not found[group] then
    found[group] = { group }
    reply[#reply + 1] = found[group]
  end
  found[group][#found[group] + 1] = id
end

-- whether the last execution fits the one set that has the job
local function fits(status, execution)
  local its = status_in(execution)
  if its ~= status then return not its and (status == 'queued' or status == 'delayed') end
  return status ~= 'running' or rank_in_token(string.match(execution, '^%S+')) ~= nil
end

-- jobs of a group: in one set, in the index by their creation, with a spec, and with an execution that fits
local function survey_jobs(group, ids, created, specs, executions)
  local index, statuses, counts, is_held = call('ZMSCORE', set_key(p, group, 'jobs'), unpack(ids)), {}, {}, {}
  for _, set in ipairs(STATUSES) do
    local scores = call('EXISTS', set_key(p, group, set)) == 1 and call('ZMSCORE', set_key(p, group, set), unpack(ids)) or {}
    for i = 1, #ids do
      if scores[i] then statuses[i], counts[i], is_held[i] = set, (counts[i] or 0) + 1, tonumber(scores[i]) == HELD end
    end
  end
  for i = 1, #ids do
    local is_whole = counts[i] == 1 and index[i] == created[i] and fits(statuses[i], executions[i]) and not is_held[i]
    if not is_whole or spec_bytes(p, ids[i], specs[i]) == 0 then suspect(group, ids[i]) end
  end
end

local function survey_records(pairs_)
  local ids, groups = {}, {}
  for i = 1, #pairs_, 2 do ids[#ids + 1] = pairs_[i] end
  local executions = #ids > 0 and call('HMGET', executions_key(p), unpack(ids)) or {}
  for i = 1, #ids do
    local group, created_at, spec = parse_record(pairs_[2 * i])
    local own = group and groups[group] or { ids = {}, created = {}, specs = {}, executions = {} }
    if not group then
      suspect('', ids[i])
    elseif (only == '' or only == group) and is_hooked(pairs_[2 * i]) then
      suspect(group, ids[i])
    elseif only == '' or only == group then
      local k = #own.ids + 1
      groups[group], own.ids[k], own.created[k], own.specs[k], own.executions[k] = own, ids[i], created_at, spec, executions[i]
    end
  end
  for group, own in pairs(groups) do survey_jobs(group, own.ids, own.created, own.specs, own.executions) end
end

-- ids of whatever is no job of the group, '' for any group; and of what is in `expiring` without a deadline
local function survey_ids(group, ids, set)
  local texts = #ids > 0 and call('HMGET', jobs_key(p), unpack(ids)) or {}
  for i = 1, #ids do
    local its = texts[i] and parse_record(texts[i])
    if not its or (group ~= '' and its ~= group) or (set == 'expiring' and not is_hooked(texts[i])) then suspect(group, ids[i]) end
  end
end

local function survey_sets(left)
  local number = tonumber(cursor)
  for at = first + 4 * number, #ARGV, 4 do
    local group, set, score, id = unpack(ARGV, at, at + 3)
    local key = set_key(p, group, set)
    local from, ids = score == '' and 0 or position(key, score, id, true), {}
    local page = call('ZRANGE', key, from, from + left - 1, 'WITHSCORES')
    for i = 1, #page, 2 do ids[#ids + 1] = page[i] end
    survey_ids(group, ids, set)
    reply[4], left = reply[4] + (set == 'expiring' and 0 or #ids), left - #ids
    if left == 0 then
      reply[1], reply[2], reply[3] = digits(number), page[#page], page[#page - 1]
      return
    end
    number = number + 1
  end
  reply[1] = digits(number)
end

if kind == 'sets' then
  survey_sets(n)
else
  local step, ids = call('HSCAN', kind == 'jobs' and jobs_key(p) or executions_key(p), cursor, 'COUNT', n), {}
  local fields = step[2]
  reply[1], reply[4] = step[1], #fields / 2
  for i = 1, #fields, 2 do ids[#ids + 1] = fields[i] end
  if kind == 'jobs' then survey_records(fields) else survey_ids('', ids) end
end
return reply
