-- For scripts that delete jobs.

-- Those of finished jobs, or of batches as `batch:<id>`, that may be deleted: their end is settled.
local function settled_of(p, ids)
  if #ids == 0 or call('EXISTS', p .. ':settle') == 0 then return ids end
  local settled = {}
  for first = 1, #ids, 1000 do
    local some = { unpack(ids, first, math.min(first + 999, #ids)) }
    local unsettled = call('ZMSCORE', p .. ':settle', unpack(some))
    for i = 1, #some do if not unsettled[i] then settled[#settled + 1] = some[i] end end
  end
  return settled
end
