-- For admit and settle: kinds of new jobs, with fields that enqueue does not know.
--
-- A kind is what jobs have in common that are alike: its words, with `due`, `start_before` and `end_before` as ms; `deadline`, the first of
-- these, ms, as text `expires_at`; and `first_rank`, the beginning of its priority
-- (n * priority / 2^51 in a group with the priority_boost n). A new job has `id`,
-- `spec`, `kind`, `after` and `key`, both '' for none, and `unique`; `lane`, its `key`, or nil; in groups with `fair_keys` also `turn`, its `key` or ''; once it is known also `waits`, for how
-- many jobs it waits, `is_awaited`, whether others wait for it, and `rank` if it is queued.
local KIND_WORDS = { 'priority', 'settings', 'due', 'start_before', 'end_before', 'after_on', 'unique_until', 'on_conflict', 'max_wait' }

-- A time in ms; one with + counts from now on. nil for ''.
local function time_in(text, now) return tonumber(text) and (byte(text) == PLUS and now or 0) + tonumber(text) or nil end

-- The kind that these words begin with; missing ones are ''.
local function kind_in(words, at, now)
  local kind = { heads = {} }
  for i = 1, #KIND_WORDS do kind[KIND_WORDS[i]] = words[at + i - 1] or '' end
  kind.is_delay = byte(kind.due) == PLUS
  kind.due = time_in(kind.due, now) or now
  kind.start_before, kind.end_before = time_in(kind.start_before, now), time_in(kind.end_before, now)
  kind.deadline, kind.first_rank = deadline_of(kind, 0), (2 - kind.priority) * STEP
  kind.expires_at = kind.deadline and digits(kind.deadline)
  return kind
end

-- The settings of a job with its times. A delay is in s, rounded up; `due` has the ms if it is no number of s from now, or if the
-- job is held. `more` may have the settings `bytes`, `retry_of`, `batch`, and `origin`: JSON of others.
local function full_settings(kind, hooks, is_waiting, inputs, now, more)
  local words, due = {}, kind.due
  local function add(name, value) if value then words[#words + 1] = '"' .. name .. '":' .. digits(value) end end
  add('hooks', hooks)
  if kind.settings ~= '' then words[#words + 1] = string.sub(kind.settings, 2, -2) end
  if due > now then
    add('delay', math.ceil((due - now) / 1000))
    add('due', ((due - now) % 1000 > 0 or is_waiting and not kind.is_delay) and due)
  end
  add('start_before', kind.start_before)
  add('end_before', kind.end_before)
  add('bytes', more.bytes)
  add('inputs', inputs)
  if more.retry_of then words[#words + 1] = '"retry_of":"' .. more.retry_of .. '"' end
  if more.batch then words[#words + 1] = '"batch":"' .. more.batch .. '"' end
  if more.origin then words[#words + 1] = more.origin end
  return #words > 0 and '{' .. table.concat(words, ',') .. '}' or ''
end
