-- For scripts that list: reads a sorted set page by page.

-- Whether a comes before b if their scores are equal: the store compares bytes, while < in Lua depends on the locale.
local function is_before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- The number of members before (score, member); with is_after, up to and including it. Members with one score are in the order
-- of their names, so a binary search is exact, even if the member itself was removed.
local function position(key, score, member, is_after)
  local low = call('ZCOUNT', key, '-inf', '(' .. score)
  local high = low + call('ZCOUNT', key, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local other = call('ZRANGE', key, middle, middle)[1]
    if is_before(other, member) or (is_after and other == member) then low = middle + 1 else high = middle end
  end
  return low
end

-- A page of the members at the positions first to last: n of them at most, each with its score, in this order, after (score,
-- member) or from the beginning if score is ''. Also whether others follow.
local function read_page(key, n, order, score, member, first, last)
  local size, page = call('ZCARD', key), {}
  if score ~= '' and order == 'asc' then first = math.max(first, position(key, score, member, true)) end
  if score ~= '' and order == 'desc' then last = math.min(last, position(key, score, member, false) - 1) end
  if first <= last and order == 'asc' then
    page = call('ZRANGE', key, first, math.min(last, first + n - 1), 'WITHSCORES')
  elseif first <= last then
    page = call('ZREVRANGE', key, size - 1 - last, size - 1 - math.max(first, last - n + 1), 'WITHSCORES')
  end
  return page, last - first + 1 > n
end
