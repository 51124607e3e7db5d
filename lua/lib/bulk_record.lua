-- For the scripts of bulks: what is kept of one in P:bulk:<id>, who owns it, and which of them run.
--
-- A bulk with a field that older versions do not know has a `level` in its hash. While it runs it is in P:bulks_extended,
-- where those versions do not look: they would carry it out without that field.
local function bulk_key(p, id) return p .. ':bulk:' .. id end
local function running_key(p) return p .. ':bulks_running' end
local function extended_key(p) return p .. ':bulks_extended' end

-- The level of a bulk: only brokers that know this level may carry it out.
local function level_of(p, id) return tonumber(call('HGET', bulk_key(p, id), 'level') or 0) end
-- The set that has the bulk while it runs.
local function set_of_bulk(p, id) return level_of(p, id) > 0 and extended_key(p) or running_key(p) end
local function count_running(p) return call('ZCARD', running_key(p)) + call('ZCARD', extended_key(p)) end

-- A bulk as a reply: id, how many run, then field value field value…
local function bulk_row(p, id)
  return { id, count_running(p), unpack(call('HGETALL', bulk_key(p, id))) }
end

-- Has this broker own the bulk for a while: until then no other one continues it.
local function own_bulk(p, id, owner, now, lease_ms)
  call('HSET', bulk_key(p, id), 'owner', owner)
  call('ZADD', set_of_bulk(p, id), now + lease_ms, id)
end
