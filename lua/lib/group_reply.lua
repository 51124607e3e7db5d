-- For groups and configure: one group as a reply.

-- name, created_at, the six counts, then its settings: field value field value…
local function group_row(p, name, created_at)
  local reply = { name, created_at }
  for _, status in ipairs({ 'delayed', 'queued', 'running', 'succeeded', 'failed', 'cancelled' }) do
    reply[#reply + 1] = call('ZCARD', set_key(p, name, status))
  end
  local settings = call('HGETALL', group_key(p, name))
  for i = 1, #settings do reply[#reply + 1] = settings[i] end
  return reply
end
