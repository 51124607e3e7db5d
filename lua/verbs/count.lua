-- count: add what a broker has counted since its last call to the statistics of its groups, and to those of all groups.
--
-- KEYS[1] partition  name    every key of the partition begins with it
-- ARGV[1] now        ms, or '' for the server's own clock
-- ARGV[2] broker     the sender
-- ARGV[3] number     of this call; a second call of the broker with the same number counts nothing
-- ARGV[4] most       the most groups that have statistics of their own; further and deleted ones are in the totals only
-- ARGV[5] rows       the totals, then the groups, each with: name ('' for the totals), counts, waits, runs. counts: in out succeeded
--                    failed back cancelled lost retried; waits and runs: bucket:n…, or ''
--
-- moves   -
-- reply   the number of groups that have statistics of their own
-- refuses -
-- with    slots
local p, now, broker, number, most, first = KEYS[1], clock(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), 5
local KEPT_MS = 90000000 -- 25 hours: a slot of yesterday is not needed any more
local minute, ten, half, hour = math.floor(now / 60000), math.floor(now / 600000), math.floor(now / 1800000), math.floor(now / 3600000)
local counted, flushed = p .. ':counted', p .. ':flushed:' .. broker

local function add_counts(key, slot, stamp, counts, kept_ms)
  call('HSET', key, slot, with_counts(call('HGET', key, slot), stamp, counts))
  call('PEXPIRE', key, kept_ms)
end

local function add_times(key, waits, runs)
  local fields, stamps, added = {}, {}, {}
  local function add(field, stamp, times)
    if times ~= '' then fields[#fields + 1] = field; stamps[#stamps + 1] = stamp; added[#added + 1] = times end
  end
  add('w' .. hour % 24, hour, waits)
  add('wm' .. ten % 6, ten, waits)
  add('r' .. hour % 24, hour, runs)
  add('rm' .. ten % 6, ten, runs)
  if #fields == 0 then return end
  local before, after = call('HMGET', key, unpack(fields)), {}
  for i = 1, #fields do after[2 * i - 1] = fields[i]; after[2 * i] = with_times(before[i], stamps[i], added[i]) end
  call('HSET', key, unpack(after))
  call('PEXPIRE', key, KEPT_MS)
end

if call('GET', flushed) == number then return call('ZCARD', counted) end
call('SET', flushed, number, 'PX', 600000)
call('ZREMRANGEBYSCORE', counted, '-inf', now - KEPT_MS)
local n = call('ZCARD', counted)
for at = first, #ARGV, 4 do
  local group, counts, waits, runs = unpack(ARGV, at, at + 3)
  if group == '' then
    add_counts(p .. ':total:' .. digits(hour), minute % 60, minute, counts, KEPT_MS)
    add_times(p .. ':total:times', waits, runs)
  else
    local is_new = call('ZADD', counted, now, group) == 1
    if is_new and (n >= most or not call('ZSCORE', p .. ':groups', group)) then -- too many, or it was deleted meanwhile
      call('ZREM', counted, group)
    else
      if is_new then n = n + 1 end
      add_counts(set_key(p, group, 'minutes'), minute % 60, minute, counts, 7200000)
      add_counts(set_key(p, group, 'halves'), half % 48, half, counts, KEPT_MS)
      add_times(set_key(p, group, 'times'), waits, runs)
    end
  end
end
call('PEXPIRE', counted, KEPT_MS)
return n
