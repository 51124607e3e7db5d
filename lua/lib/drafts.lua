-- For admit: a draft has new jobs that are not written yet, so that few commands write many: `jobs`, in `by_id` too; `dependants`,
-- scores and members of P:after:<id> by that id; `read`, jobs that were there before and decide for those that are waited for.
local function new_draft() return { jobs = {}, by_id = {}, dependants = {}, read = {} } end

local function add_job(draft, new)
  draft.jobs[#draft.jobs + 1], draft.by_id[new.id] = new, new
end

-- Has a new job wait for those in its `after`; for how many. `unfinished` has jobs that were there before, with their records and
-- executions; `is_known` those that it waits for.
local function wait_for_parents(p, group, draft, new, unfinished, is_known, now)
  local member, is_any_end, waits = group .. ' ' .. new.id, new.kind.after_on == 'over', 0
  for id in string.gmatch(new.after, '%S+') do
    local sibling, parent = draft.by_id[id], unfinished[id]
    if not sibling and not parent then
      waits = waits + wait_for(p, member, { id }, is_any_end, now, is_known, new.after, draft.read)
    elseif not is_known[id] then
      local members = draft.dependants[id] or {}
      draft.dependants[id], is_known[id], waits = members, true, waits + 1
      members[#members + 1] = is_any_end and 1 or 0; members[#members + 1] = member
      if sibling then
        sibling.is_awaited = true
      elseif not parent.is_hooked then
        hook(p, id, parent.record, parent.execution, status_in(parent.execution) == 'running')
        parent.is_hooked = true
      end
    end
  end
  return waits
end

-- Writes what is in the draft. Returns the first rank of its jobs that are queued; nil if none is.
local function write_draft(p, group, draft, now, counts, batch)
  local rank = create_jobs(p, group, draft.jobs, now, counts, batch)
  for id, members in pairs(draft.dependants) do call_many('ZADD', after_key(p, id), members) end
  hold_keys(p, group, draft.jobs, now)
  return enter_turns(p, group, draft.jobs, enter_lanes(p, group, draft.jobs, rank))
end
