-- For count: the values of the statistics after more was added.
local BUCKETS = 23
local COUNTS = '^(%d+)' .. string.rep(' (%d+)', 8) .. '$' -- stamp, then eight counts
local SUM = '%d' .. string.rep(' %d', 8)

-- The counts of a slot after these were added. `stamp` is the slot's number since 1970: counts of another one are replaced.
local function with_counts(before, stamp, counts)
  local of, a, b, c, d, e, f, g, h = string.match(before or '', COUNTS)
  if tonumber(of) ~= stamp then return digits(stamp) .. ' ' .. counts end
  local _, n1, n2, n3, n4, n5, n6, n7, n8 = string.match('0 ' .. counts, COUNTS)
  return string.format(SUM, stamp, a + n1, b + n2, c + n3, d + n4, e + n5, f + n6, g + n7, h + n8)
end

-- The same for times: stamp bucket:n…
local function with_times(before, stamp, times)
  if tonumber(string.match(before or '', '^%d+')) ~= stamp then return digits(stamp) .. ' ' .. times end
  local sums, words = {}, { digits(stamp) }
  for bucket, n in string.gmatch(before .. ' ' .. times, '(%d+):(%d+)') do sums[bucket] = (sums[bucket] or 0) + n end
  for bucket = 0, BUCKETS - 1 do
    local n = sums[digits(bucket)]
    if n then words[#words + 1] = bucket .. ':' .. digits(n) end
  end
  return table.concat(words, ' ')
end
