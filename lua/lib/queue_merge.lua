-- For next: merges the queues of several groups into one sequence ordered by rank (a k-way merge with a binary heap).

-- The groups that may dispatch, in the order of their first jobs: name, rank, name, rank… n + 1 groups at most, since n jobs
-- are of n groups at most and a merge needs the rank that follows. With `names`: all of these that may dispatch.
local function ready_groups(p, names, n)
  if #names == 0 then return call('ZRANGE', p .. ':ready', 0, n, 'WITHSCORES') end
  local ranks, found, known, flat = call('ZMSCORE', p .. ':ready', unpack(names)), {}, {}, {}
  for i = 1, #names do
    local name, rank = names[i], tonumber(ranks[i])
    if rank and not known[name] then found[#found + 1], known[name] = { name, rank }, true end
  end
  table.sort(found, function(a, b) return a[2] < b[2] end)
  for i = 1, #found do flat[2 * i - 1], flat[2 * i] = unpack(found[i]) end
  return flat
end

local function names_of(ready)
  local names = {}
  for i = 1, #ready, 2 do names[#names + 1] = ready[i] end
  return names
end

-- The state of one queue in the merge. Jobs are read in pages: first page_size jobs, then each time twice as many.
local function new_queue(name, page_size)
  return {
    name = name, rank = false, room = math.huge, running = false, n_selected = 0, at = 1, page = {}, page_size = page_size,
  }
end

-- A merge. Queues from ready[at] on are not open yet; `rank` is that of the first of these. `heap` has the open queues that
-- have another job, as a binary heap by the rank of that job: the children of i are 2 * i and 2 * i + 1.
local function new_merge(ready) return { ready = ready, at = 1, rank = tonumber(ready[2]) or math.huge, heap = {} } end

-- The lowest rank of all queues in the merge. A queue that was removed from the heap does not count.
local function next_rank(merge)
  local first = merge.heap[1]
  return first and math.min(first.rank, merge.rank) or merge.rank
end

-- Opens the next queue.
local function open_next_queue(merge, page_size)
  local ready, at = merge.ready, merge.at
  merge.at, merge.rank = at + 2, tonumber(ready[at + 3]) or math.huge
  return new_queue(ready[at], page_size)
end

-- Adds a queue to the heap.
local function heap_push(heap, group)
  local at = #heap + 1
  local parent = math.floor(at / 2)
  while parent > 0 and heap[parent].rank > group.rank do
    heap[at], at, parent = heap[parent], parent, math.floor(parent / 2)
  end
  heap[at] = group
end

-- Removes the queue with the lowest rank and returns it. The last one replaces it and moves down.
local function heap_pop(heap)
  local first, n = heap[1], #heap
  local group, at, child = heap[n], 1, 2
  heap[n], n = nil, n - 1
  while child <= n do
    if child < n and heap[child + 1].rank < heap[child].rank then child = child + 1 end
    if group.rank <= heap[child].rank then break end
    heap[at], at, child = heap[child], child, 2 * child
  end
  if n > 0 then heap[at] = group end
  return first
end
