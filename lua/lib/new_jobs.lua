-- For admit: the new jobs in its words.

-- The new jobs, and whether any of them has a unique key, and whether any waits for others or has a `lane`.
local function new_jobs_in(words, at, now)
  local new_jobs, n, last, have_keys, is_tied = {}, 0, #words, false, false
  while at < last do
    local n_alike, width, kind = tonumber(words[at]), tonumber(words[at + 1]), kind_in(words, at + 2, now)
    at = at + 2 + #KIND_WORDS
    for i = at, at + n_alike * width - 1, width do
      n = n + 1
      if width == 2 then
        new_jobs[n] = { id = words[i], spec = words[i + 1], kind = kind, after = '', key = '' }
      else
        local after, key = words[i + 2], words[i + 3]
        new_jobs[n] = { id = words[i], spec = words[i + 1], kind = kind, after = after, key = key, unique = words[i + 4] }
        if width > 5 then new_jobs[n].lane, new_jobs[n].turn = words[i + 5] ~= '' and words[i + 5] or nil, words[i + 5] end
        have_keys, is_tied = have_keys or key ~= '', is_tied or after ~= '' or width > 5
      end
    end
    at = at + n_alike * width
  end
  return new_jobs, have_keys, is_tied
end

-- Their ids.
local function new_ids(new_jobs)
  local ids = {}
  for i = 1, #new_jobs do ids[i] = new_jobs[i].id end
  return ids
end

-- The bytes of their specs.
local function new_bytes(p, new_jobs)
  local bytes = 0
  for i = 1, #new_jobs do bytes = bytes + spec_bytes(p, new_jobs[i].id, new_jobs[i].spec) end
  return bytes
end
