-- For look: which jobs pass its filters, and a job as its reply.
local FIELDS = { 'reason', 'error', 'retry_at', 'attempts', 'progress', 'note', 'needs', 'key', 'dead_letter', 'receipts' } -- all but the last in a reply
local BEFORE_IMAGE, BEFORE_PAYLOAD = '{"image":', '","payload":"' -- in every spec with a payload

-- Whether a job with this record is of the group, and was created between two times (ms, or nil); and its spec, '' if large.
local function is_in_range(record, group, created_after, created_before)
  local job_group, created_at, spec = parse_record(record or '')
  created_at = tonumber(created_at)
  if job_group ~= group or created_after and created_at <= created_after then return false end
  return not (created_before and created_at >= created_before), spec
end

-- Whether a job with this execution was completed between two times (ms, or nil). One that is not finished was not.
local function is_completed_in(execution, after, before)
  if not after and not before then return true end
  local at = tonumber(string.match(execution or '', ' %a+ (%d+)$'))
  return at and not (after and at <= after or before and at >= before)
end

-- Whether the text occurs in the payload of a spec. Both are JSON, so a part of an escape is found as well.
local function has_text(spec, text)
  local at = string.find(spec, BEFORE_PAYLOAD, 1, true)
  return at and string.find(spec, text, at + #BEFORE_PAYLOAD, true)
end

-- Whether a job passes all filters that are not ''. `fields` has its FIELDS. A worker has the jobs that it runs, whose ids are
-- in `held`, and those for which it sent a receipt.
local function is_match(filters, id, spec, fields, is_running)
  local image, worker = filters.image, filters.worker
  if image ~= '' and string.sub(spec, #BEFORE_IMAGE + 1, #BEFORE_IMAGE + #image) ~= image then return false end
  if filters.text ~= '' and not has_text(spec, filters.text) then return false end
  if filters.reason ~= '' and fields[1] ~= filters.reason then return false end
  if filters.is_unretried ~= '' and fields[3] then return false end
  if worker == '' or is_running and filters.held[id] then return true end
  return fields[#FIELDS] and string.find(fields[#FIELDS], '"worker":' .. worker, 1, true)
end

-- A job as a reply, with its large spec if it has one.
local function found_row(id, record, status, execution, lease_end, spec, fields)
  local row = { 'id', id, 'job', record, 'status', status }
  local function add(name, value) if value then row[#row + 1] = name; row[#row + 1] = value end end
  add('run', execution)
  add('expires_at', lease_end)
  add('spec', byte(record, -1) == SPACE and spec)
  for k = 1, #FIELDS - 1 do add(FIELDS[k], fields[k]) end
  return row
end
