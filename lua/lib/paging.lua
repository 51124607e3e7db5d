-- Put before the scripts that read a sorted set page by page.

-- whether a stands before b where their scores are the same: by bytes, as the store has it; < goes by the locale it runs in
local function is_before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- how many members stand before (score, member), or with is_after at it too. Members of one score stand in the order of
-- their names, so this is a binary search, exact also when the member itself is gone.
local function rank(key, score, member, is_after)
  local low = call('ZCOUNT', key, '-inf', '(' .. score)
  local high = low + call('ZCOUNT', key, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local other = call('ZRANGE', key, middle, middle)[1]
    if is_before(other, member) or (is_after and other == member) then low = middle + 1 else high = middle end
  end
  return low
end
