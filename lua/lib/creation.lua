-- For admit and fire: the words of new jobs, and how a job is created from them. The end of a job of a schedule is settled.
local NEW_FIELDS = {
  'id', 'spec', 'priority', 'settings', 'due', 'start_before', 'end_before',
  'after', 'after_on', 'key', 'unique', 'unique_until', 'on_conflict', 'max_wait',
}

-- The new jobs in these words, each with its fields and `size`, the bytes of its spec.
local function new_jobs_in(p, words, at)
  local found = {}
  for first = at, #words, #NEW_FIELDS do
    local new = {}
    for i, name in ipairs(NEW_FIELDS) do new[name] = words[first + i - 1] end
    new.size = spec_bytes(p, new.id, new.spec)
    found[#found + 1] = new
  end
  return found
end

-- A time in ms; one with + counts from now on. nil for ''.
local function time_in(text, now) return tonumber(text) and (byte(text) == PLUS and now or 0) + tonumber(text) or nil end

local function deadlines_of(new, now)
  return { start_before = time_in(new.start_before, now), end_before = time_in(new.end_before, now) }
end

-- The settings of a job with its times. A delay is in s, rounded up; `due` has the ms if it is no number of s from now, or if the
-- job is held. `retry_of` and `counts` are nil unless they are settings of the job.
local function full_settings(new, deadlines, is_waiting, now, counts, retry_of)
  local words, due = {}, time_in(new.due, now) or now
  local function add(name, value) if value then words[#words + 1] = '"' .. name .. '":' .. digits(value) end end
  add('hooks', (new.key ~= '' or new.is_scheduled) and 2 or (deadlines.start_before or deadlines.end_before) and 1)
  if new.settings ~= '' then words[#words + 1] = string.sub(new.settings, 2, -2) end
  if due > now then
    add('delay', math.ceil((due - now) / 1000))
    add('due', ((due - now) % 1000 > 0 or is_waiting and byte(new.due) ~= PLUS) and due)
  end
  add('start_before', deadlines.start_before)
  add('end_before', deadlines.end_before)
  add('bytes', counts and new.size)
  if retry_of then words[#words + 1] = '"retry_of":"' .. retry_of .. '"' end
  return #words > 0 and '{' .. table.concat(words, ',') .. '}' or ''
end

-- Creates a job that waits for a number of others, or for none. Returns its rank if it is queued.
local function create_job(p, group, new, waits, now, counts)
  local id, key, deadlines, due = new.id, job_key(p, new.id), deadlines_of(new, now), time_in(new.due, now) or now
  local head = build_record(full_settings(new, deadlines, waits > 0, now, counts), group, digits(now), '')
  call('PERSIST', key) -- of a staged payload
  call('HSET', jobs_key(p), id, head .. store_large_spec(p, id, new.spec))
  call('ZADD', set_key(p, group, 'jobs'), digits(now), id)
  if new.after ~= '' then call('HSET', key, 'after', new.after, 'after_on', new.after_on) end
  if new.key ~= '' then call('HSET', key, 'unique', new.unique, 'unique_key', new.key, 'unique_until', new.unique_until) end
  if deadlines.start_before or deadlines.end_before then set_deadline(p, group, id, deadlines, 0) end
  if waits > 0 then
    call('HSET', key, 'needs', waits)
    return hold(p, group, id)
  elseif due > now then
    call('ZADD', set_key(p, group, 'delayed'), digits(due), id)
    return set_timer(p, 'delayed', group, due)
  end
  local rank = new_rank(p, tonumber(new.priority))
  call('ZADD', set_key(p, group, 'queued'), rank, id)
  return rank
end
