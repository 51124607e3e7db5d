-- Put before the scripts that go over many groups: most have no settings, and that is asked of all of them at once.

local function any_set(p, groups)
  local keys = {}
  for i = 1, #groups do keys[i] = group_key(p, groups[i]) end
  return #keys > 0 and call('EXISTS', unpack(keys)) > 0
end
