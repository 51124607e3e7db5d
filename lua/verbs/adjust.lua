-- adjust: change some settings of a group, and note since when and at whose request it is paused; others keep their values.
--
-- KEYS[1] partition   name    every key of the partition begins with it
-- ARGV[1] now         ms, or '' for the server's own clock
-- ARGV[2] group       name
-- ARGV[3] by          who asks for it, or ''
-- ARGV[4] n_expected  how many words of the settings that the group must have, or '' for any
-- ARGV[5] words       field value… of the settings that it must have; then field value… of the changes, '' for the default
--
-- moves   -
-- reply   1 if it was paused before, or 0; the group: name, created_at, the six counts, then field value field value…
-- refuses CHANGED INVALID
-- flags   allow-oom
-- with    group_reply settings_check settling rate_limit rate_changes group_changes
local p, now, group, by, n_expected, first = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), 5

local key = group_key(p, group)
local function has_expected()
  local is_same = call('ZSCORE', p .. ':groups', group) and call('HLEN', key) == n_expected / 2
  for i = first, first + n_expected - 1, 2 do is_same = is_same and call('HGET', key, ARGV[i]) == ARGV[i + 1] end
  return is_same
end
if n_expected and not has_expected() then return refuse('CHANGED', 'The group was changed meanwhile: read it again.') end
for i = first + (n_expected or 0), #ARGV, 2 do
  local refused = ARGV[i] == 'dead_letter_to' and refused_dead_letters(p, group, ARGV[i + 1])
  if refused then return refused end
end

local was_paused = call('HEXISTS', key, 'paused') == 1
local has_note = false
call('ZADD', p .. ':groups', 'NX', now, group)
for i = first + (n_expected or 0), #ARGV, 2 do
  if ARGV[i + 1] == '' then call('HDEL', key, ARGV[i]) else call('HSET', key, ARGV[i], ARGV[i + 1]) end
  has_note = has_note or ARGV[i] == 'note'
end
local is_paused = note_pause(key, was_paused, now, by)
if was_paused and not is_paused and not has_note then call('HDEL', key, 'note') end
apply_settings(p, group, now)

return { was_paused and 1 or 0, group_row(p, group, call('ZSCORE', p .. ':groups', group)) }
