-- For admit and fire: turns of keys (key_turns.lua).

-- New jobs that were queued get the places of their keys' turns, if their group has `fair_keys`. Returns the first rank of all that are queued.
local function enter_turns(p, group, new_jobs, first_rank)
  local entered = {}
  for _, new in ipairs(new_jobs) do
    local first = new.kind.first_rank
    if new.turn and new.rank and not new.needs_place then
      entered[#entered + 1] = { id = new.id, key = new.turn, lead = band_from(first) * STEP - first }
    end
  end
  if not entered[1] or not keys_take_turns(p, group) then return first_rank end
  give_turns(p, group, entered)
  for i = 1, #entered do first_rank = math.min(first_rank, entered[i].rank) end
  return first_rank
end
