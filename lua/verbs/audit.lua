-- audit: note acts of people and programs, with who did them; about as many of the newest ones as `most` are kept.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] most       acts to keep, about
-- ARGV[2] batch      the id of this call; a repeat has the same
-- ARGV[3] repeats    how often it was sent before: with 1 or more, a batch among the newest acts is not noted again
-- ARGV[4] acts       for each: by address act group ids n outcome detail; ids with spaces between; '' for none
--
-- moves   -
-- reply   how many acts were noted
-- refuses -
-- flags   allow-oom
local p, most, batch, repeats, first = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), 4
local FIELDS, SEARCHED, key = { 'by', 'address', 'act', 'group', 'ids', 'n', 'outcome', 'detail' }, 1000, KEYS[1] .. ':audit'

if repeats > 0 then
  for _, entry in ipairs(call('XREVRANGE', key, '+', '-', 'COUNT', SEARCHED)) do
    local fields = entry[2]
    if fields[#fields - 1] == 'batch' and fields[#fields] == batch then return 0 end
  end
end

for at = first, #ARGV, #FIELDS do
  local fields = {}
  for i = 1, #FIELDS do
    local value = ARGV[at + i - 1]
    if value ~= '' then fields[#fields + 1] = FIELDS[i]; fields[#fields + 1] = value end
  end
  if at == first then fields[#fields + 1] = 'batch'; fields[#fields + 1] = batch end
  call('XADD', key, 'MAXLEN', '~', most, '*', unpack(fields))
end
return (#ARGV - first + 1) / #FIELDS
