-- configure: replace all settings of a group, a missing one by its default; note since when and at whose request it is paused.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] group      name
-- ARGV[3] by         who asks for it, or ''
-- ARGV[4] settings   field value field value…
--
-- moves   -
-- reply   1 if it was paused before, or 0; the group: name, created_at, the six counts, then field value field value…
-- refuses INVALID
-- flags   allow-oom
-- with    group_reply settings_check settling rate_limit rate_changes group_changes
local p, now, group, by, first = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], 4

local dead_letter_to = nil
for i = first, #ARGV, 2 do dead_letter_to = ARGV[i] == 'dead_letter_to' and ARGV[i + 1] or dead_letter_to end
local refused = refused_dead_letters(p, group, dead_letter_to)
if refused then return refused end

local key = group_key(p, group)
local was_paused, kept = call('HEXISTS', key, 'paused') == 1, call('HMGET', key, unpack(OF_PAUSE))
call('ZADD', p .. ':groups', 'NX', now, group)
call('DEL', key)
if #ARGV >= first then call('HSET', key, unpack(ARGV, first)) end
if was_paused == (call('HEXISTS', key, 'paused') == 1) then -- no setting: they stay until the pause ends
  for i, field in ipairs(OF_PAUSE) do
    if kept[i] then call('HSET', key, field, kept[i]) end
  end
end
note_pause(key, was_paused, now, by)
apply_settings(p, group, now)

return { was_paused and 1 or 0, group_row(p, group, call('ZSCORE', p .. ':groups', group)) }
