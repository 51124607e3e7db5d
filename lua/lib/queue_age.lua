-- For scripts that show how long jobs wait.

-- Since when the first job of each priority is due, ms as text: the earliest of these, or nil. Ranks of a priority are below the
-- next multiple of STEP.
local function oldest_due(p, group)
  local queued, low, oldest = set_key(p, group, 'queued'), '-inf', nil
  while true do
    local id, rank = unpack(call('ZRANGEBYSCORE', queued, low, '+inf', 'WITHSCORES', 'LIMIT', 0, 1))
    if not id then return oldest and digits(oldest) end
    local record = call('HGET', jobs_key(p), id)
    local _, created_at = parse_record(record or '')
    local due = created_at and created_at + (setting_in(record, 'delay') or 0) * 1000
    if due and due < (oldest or math.huge) then oldest = due end
    low = digits((math.floor(rank / STEP) + 1) * STEP)
  end
end
