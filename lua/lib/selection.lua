-- For next: selects jobs from the queues one by one, then reads and dispatches them together.

-- A reply with this many bytes of records gets no more jobs. Must equal SCRIPT_BYTES of the dispatcher.
local REPLY_BYTES = 1048576

-- The id and rank of the next job of a queue; reads another page if needed.
local function next_queued(p, group)
  local page, at, page_size = group.page, group.at, group.page_size
  if not page[at] and page_size > 0 then
    local first = group.n_selected
    page, at = call('ZRANGE', set_key(p, group.name, 'queued'), first, first + page_size - 1, 'WITHSCORES'), 1
    group.page, group.at, group.page_size = page, at, #page == 2 * page_size and 2 * page_size or 0
  end
  return page[at], page[at + 1]
end

-- Selected jobs: id, rank and group of each.
local function empty_selection() return { ids = {}, ranks = {}, groups = {} } end

-- Selects jobs of one group until its next job has a higher rank than until_rank, n are selected, or it has no room.
local function select_jobs(p, selected, n, group, until_rank)
  local ids, ranks, groups = selected.ids, selected.ranks, selected.groups
  local k, is_alone, id, rank = #ids, until_rank == math.huge, next_queued(p, group)
  local before, max = k, math.min(n, k + group.room)
  while id and k < max and (is_alone or tonumber(rank) <= until_rank) do
    k = k + 1
    ids[k], ranks[k], groups[k] = id, rank, group
    group.n_selected, group.at = group.n_selected + 1, group.at + 2
    id, rank = next_queued(p, group)
  end
  group.room = group.room - (k - before)
  group.rank = group.room > 0 and tonumber(rank)
end

-- Leaves the jobs from this one on in their queues.
local function unselect(selected, first)
  selected.stop = first
  for i = #selected.ids, first, -1 do
    local group = selected.groups[i]
    group.n_selected, group.rank = group.n_selected - 1, tonumber(selected.ranks[i])
  end
end

-- Dispatches selected jobs until the reply is large. Returns their number. An id without a record is skipped; its group then
-- has room for one more, so `ready` must be refreshed.
local function dispatch_selected(p, batch, selected, reply)
  local ids, ranks, n = selected.ids, selected.ranks, 0
  local records = #ids > 0 and call('HMGET', jobs_key(p), unpack(ids))
  local before = #ids > 0 and call('HMGET', executions_key(p), unpack(ids))
  for i = 1, #ids do
    if batch.bytes >= REPLY_BYTES then
      unselect(selected, i)
      break
    end
    local record = with_spec(p, ids[i], records[i])
    if not record then
      selected.groups[i].has_missing_job = true
    else
      dispatch(batch, reply, selected.groups[i], ids[i], ranks[i], record, before[i])
      n = n + 1
    end
  end
  return n
end
