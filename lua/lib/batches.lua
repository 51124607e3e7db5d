-- For scripts about batches. P:batch:<id> has what a batch is and its counts. P:batch:<id>:jobs has its members by creation, and
-- P:batch:<id>:unfinished those that do not count as over yet: a member that leaves it is counted, so each counts once.
-- P:group:<g>:batches has the batches of a group by creation, and P:group:<g>:ending by when end_within or their retention ends.
local MOST_MEMBERS = 100000
local BATCH_FIELDS = {
  'group', 'name', 'created_at', 'open', 'total', 'succeeded', 'failed', 'cancelled', 'stopped', 'ended_at', 'end_at',
  'made_on_failed', 'made_on_succeeded', 'made_on_over', 'retry_of', 'retry_at',
}

local function batch_key(p, id) return p .. ':batch:' .. id end
local function members_key(p, id) return batch_key(p, id) .. ':jobs' end
local function unfinished_key(p, id) return batch_key(p, id) .. ':unfinished' end

-- The batch that a job with this record is a member of; nil for none. The text of a callback job has counts behind the id.
local function batch_of(record) return string.match(settings_json(record), '"batch":"(%w+)"') end

-- What is stored of a batch, with its counts as numbers; nil if there is none.
local function read_batch(p, id)
  local values, batch = call('HMGET', batch_key(p, id), unpack(BATCH_FIELDS)), { id = id }
  if not values[1] then return nil end
  for i = 1, #BATCH_FIELDS do batch[BATCH_FIELDS[i]] = values[i] or nil end
  for _, name in ipairs({ 'total', 'succeeded', 'failed', 'cancelled' }) do batch[name] = tonumber(batch[name] or 0) end
  batch.over = batch.succeeded + batch.failed + batch.cancelled
  return batch
end

local function find_batch(p, group, id)
  local batch = read_batch(p, id)
  return batch and batch.group == group and batch or nil
end
local function no_batch() return refuse('NOT_FOUND', 'There is no such batch in this group.') end

-- Has the next settlement look at a batch.
local function settle_batch_later(p, id, now) settle_later(p, { 'batch:' .. id }, now, {}) end

-- Closes a batch and has its unfinished members cancelled. why: client_request or end_within.
local function stop_batch(p, id, why, now)
  call('HSET', batch_key(p, id), 'stopped', why, 'open', 0)
  settle_batch_later(p, id, now)
end

-- Has reap look at a batch of a group then, ms.
local function set_batch_timer(p, group, id, at)
  call('ZADD', set_key(p, group, 'ending'), digits(at), id)
  set_timer(p, 'ending', group, at)
end

local function delete_batch(p, group, id)
  call('UNLINK', batch_key(p, id), members_key(p, id), unfinished_key(p, id))
  call('ZREM', set_key(p, group, 'ending'), id)
  call('ZREM', set_key(p, group, 'batches'), id)
end

-- The batch as a reply: id, then the values of BATCH_FIELDS, '' for those that it does not have.
local function batch_reply(p, id)
  local reply = call('HMGET', batch_key(p, id), unpack(BATCH_FIELDS))
  for i = 1, #BATCH_FIELDS do reply[i] = reply[i] or '' end
  table.insert(reply, 1, id)
  return reply
end
