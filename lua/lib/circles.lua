-- For wait: no job waits for itself.
local MOST_AWAITED, MOST_WALKED = 1000, 1000 -- jobs for which a job may have waited; jobs that may wait for one that waits

-- The refusal of a job that would wait for itself: one of these jobs, ids with spaces, is it, or waits for it, directly or through
-- others. One for which too many wait is refused, too.
local function refused_circle(p, id, job, awaited)
  local walk, is_found, at = { id }, { [id] = true }, 0
  while walk[at + 1] do
    at = at + 1
    if has_id(awaited, walk[at]) then
      return wrong_state(job, 'It would wait for the job ' .. walk[at] .. ', which waits for it.')
    end
    local members = call('ZRANGE', after_key(p, walk[at]), 0, MOST_WALKED)
    for i = 1, #members do
      local found_id = string.match(members[i], '%S+$')
      if not is_found[found_id] then is_found[found_id], walk[#walk + 1] = true, found_id end
    end
    if #walk > MOST_WALKED + 1 then return wrong_state(job, 'More than ' .. MOST_WALKED .. ' jobs wait for it.') end
  end
end
