-- For next_fair: selects the jobs of one turn, and restores the turns of jobs that are not dispatched.

-- Selects jobs of one group until its turn has ended, and notes in `spans` how it was before. Then `rank` of the group is its score
-- for the next turn.
local function take_turn(p, ring, selected, n, group, spans)
  local turn, first = group.turns[group.band], #selected.ids
  local span = { group = group, first = first, band = group.band, turn = turn, score = turn.score, given = turn.given }
  spans[#spans + 1] = span
  select_jobs(p, selected, math.min(n, first + math.max(1, group.weight - turn.given)), group, (group.band + 1) * STEP - MOST_LEAD - 1)
  count_given(ring, group, turn, #selected.ids - first)
  if not group.rank then return end
  local next_turn = turn_at(group, group.rank)
  if next_turn ~= turn then group.turns[group.band] = nil end -- it has no more jobs of this priority
  group.band, group.rank = band_of(group.rank), next_turn.score
end

-- Jobs from selected.stop on are not dispatched, since the reply is large: their groups get the turns that they had before them.
local function undo_turns(selected, spans)
  for i = #spans, 1, -1 do
    local span, last = spans[i], spans[i + 1] and spans[i + 1].first or #selected.ids
    if last < selected.stop then break end
    span.turn.score, span.turn.given = span.score, span.given + math.max(0, selected.stop - 1 - span.first)
    span.group.turns[span.band], span.group.band, span.group.rank = span.turn, span.band, span.score
  end
end
