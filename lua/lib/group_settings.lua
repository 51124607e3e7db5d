-- For scripts that read many groups: most groups have no settings, so one command asks for all of them.

-- Whether any of these groups may have settings. Of a single group they are read instead, which is one command too.
local function any_set(p, groups)
  if #groups == 1 then return true end
  local keys = {}
  for i = 1, #groups do keys[i] = group_key(p, groups[i]) end
  return #keys > 0 and call('EXISTS', unpack(keys)) > 0
end
