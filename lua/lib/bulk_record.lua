-- For the scripts of bulks: what is kept of one in P:bulk:<id>, who owns it, and which of them run.
local function bulk_key(p, id) return p .. ':bulk:' .. id end
local function running_key(p) return p .. ':bulks_running' end

-- A bulk as a reply: id, how many run, then field value field value…
local function bulk_row(p, id)
  return { id, call('ZCARD', running_key(p)), unpack(call('HGETALL', bulk_key(p, id))) }
end

-- Has this broker own the bulk for a while: until then no other one continues it.
local function own_bulk(p, id, owner, now, lease_ms)
  call('HSET', bulk_key(p, id), 'owner', owner)
  call('ZADD', running_key(p), now + lease_ms, id)
end
