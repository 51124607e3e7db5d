-- For check: what batches promise. Each function calls add_finding(id, problem, fix); fix is a function that repairs it.

-- The unfinished members of a batch have not ended, or their end will be settled. It looks at 1,000 of them.
local function check_unfinished(p, now, group, id, add_finding)
  for _, member in ipairs(call('ZRANGE', unfinished_key(p, id), 0, 999)) do
    local job = find_job(p, group, member)
    if not job then
      add_finding(member, 'is a member of a batch, but is no job', function()
        call('ZREM', unfinished_key(p, id), member)
        call('HINCRBY', batch_key(p, id), 'cancelled', 1)
        settle_batch_later(p, id, now)
      end)
    elseif RETENTION_S[job.status] and not call('ZSCORE', p .. ':settle', member) then
      add_finding(member, 'has ended, but its batch does not count it', function() settle_later(p, { member }, now, {}) end)
    end
  end
end

-- The batches of a group: each counts all its members, and ends when they have ended. It looks at 1,000 of them.
local function check_batches(p, now, group, add_finding)
  for _, id in ipairs(call('ZRANGE', set_key(p, group, 'batches'), 0, 999)) do
    local batch, open = read_batch(p, id), call('ZCARD', unfinished_key(p, id))
    if not batch then
      add_finding('', 'has a batch that is gone: ' .. id, function() delete_batch(p, group, id) end)
    elseif batch.over + open ~= batch.total then
      add_finding('', 'has a batch that counts ' .. batch.total .. ' members and has ' .. batch.over + open .. ': ' .. id, function()
        call('HSET', batch_key(p, id), 'total', batch.over + open)
        settle_batch_later(p, id, now)
      end)
    elseif open == 0 and batch.open ~= '1' and not batch.ended_at and not call('ZSCORE', p .. ':settle', 'batch:' .. id) then
      add_finding('', 'has a batch whose end is not settled: ' .. id, function() settle_batch_later(p, id, now) end)
    elseif batch.ended_at and not call('ZSCORE', set_key(p, group, 'ending'), id) then
      add_finding('', 'has a batch that would be kept too long: ' .. id, function() set_batch_timer(p, group, id, now + 86400000) end)
    else
      check_unfinished(p, now, group, id, add_finding)
    end
  end
end
