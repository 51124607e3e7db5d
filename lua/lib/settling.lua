-- For scripts that end or delete jobs: P:settle has the jobs whose end must still be settled (settle.lua). These are the jobs that
-- have `hooks` of 2 or more in their settings, and ` ++` at the end of their execution.
-- Notes jobs that have ended, and sets these timers and the one of the settlement.
local function settle_later(p, ids, now, timers)
  if #ids > 0 then
    local ended = {}
    for i = 1, #ids do ended[2 * i - 1] = digits(now); ended[2 * i] = ids[i] end
    call_many('ZADD', p .. ':settle', ended)
    timers[#timers + 1] = now; timers[#timers + 1] = 'settle:'
  end
  set_timers(p, timers)
end
