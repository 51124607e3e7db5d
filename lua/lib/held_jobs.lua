-- For finish: which reports hold their jobs.

-- Removes the jobs of a part from `running` whose reports have the right token, and returns which ones these are. The first word
-- of an execution is its token.
local function remove_held(p, round, part, is_strict)
  local held, n, is_held, at, words, ids, executions = {}, 0, {}, part.at, part.words, round.ids, round.executions
  local find_in = string.find
  for i = part.first, part.last do
    local execution, lease = executions[i], ARGV[at + 1]
    local is_any_token = lease == '' and not is_strict
    if execution and (is_any_token or find_in(execution, lease, 1, true) == 1 and byte(execution, #lease + 1) == SPACE) then
      n = n + 1
      held[n], is_held[i] = ids[i], true
    end
    at = at + words
  end
  if n == 0 or call('ZREM', set_key(p, part.group, 'running'), unpack(held)) == n then return is_held end
  for i = part.first, part.last do -- some had ended already, or are of another group
    is_held[i] = is_held[i] and string.find(round.executions[i], ' ', 1, true) and not string.find(round.executions[i], ' %a+ %d+$')
      and parse_record(call('HGET', jobs_key(p), round.ids[i]) or '') == part.group
  end
  return is_held
end
