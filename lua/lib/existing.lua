-- For scripts that read many groups: which of many keys exist, with few commands where most do, or most do not.

-- Adds the numbers of those from first to last that exist, n in all. The second half has what the first one has not.
local function add_existing(found, keys, first, last, n)
  if n == 0 then return end
  if n == last - first + 1 then
    for i = first, last do found[i] = true end
    return
  end
  local middle = math.floor((first + last) / 2)
  local in_first = call('EXISTS', unpack(keys, first, middle))
  add_existing(found, keys, first, middle, in_first)
  add_existing(found, keys, middle + 1, last, n - in_first)
end

-- The numbers of the keys that exist: { [i] = true }. At least one key, at most 4,000.
local function existing(keys)
  local found = {}
  add_existing(found, keys, 1, #keys, call('EXISTS', unpack(keys)))
  return found
end
