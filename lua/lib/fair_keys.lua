-- For scripts that queue jobs: whether the keys of a group take turns (key_turns.lua).
local are_fair = {} -- by group: a call asks once

local function keys_take_turns(p, group)
  if are_fair[group] == nil then
    are_fair[group] = call('HEXISTS', group_key(p, group), 'fair_keys') == 1 and call('HEXISTS', p .. ':modes', 'order') == 1
  end
  return are_fair[group]
end
