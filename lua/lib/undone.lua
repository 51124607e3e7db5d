-- For scripts about the jobs that were cancelled since a job did not succeed. P:undone:<id> has them, `group id`, by when that was,
-- ms, and the job has the field `undone`. They go with the job.
local function undone_key(p, id) return p .. ':undone:' .. id end

-- For export and restore: they are one more field there, lines of group, id and time.
local function append_undone(p, id, row)
  local members, lines = call('ZRANGE', undone_key(p, id), 0, MOST_DEPENDANTS, 'WITHSCORES'), {}
  for i = 1, #members, 2 do lines[#lines + 1] = members[i] .. ' ' .. members[i + 1] end
  row[#row + 1] = 'undone_jobs'; row[#row + 1] = table.concat(lines, '\n')
end

local function restore_undone(p, id)
  for member, at in string.gmatch(call('HGET', job_key(p, id), 'undone_jobs') or '', '(%S+ %S+) (%d+)') do
    call('ZADD', undone_key(p, id), at, member)
  end
  call('HDEL', job_key(p, id), 'undone_jobs')
end
