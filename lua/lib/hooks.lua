-- For scripts that look at jobs with hooks: their delivery or their end matters to something. Then `hooks` is their first setting,
-- the only one that begins with h.
local function is_hooked(record) return byte(record, 3) == H and byte(record) == BRACE end

-- Whether the end of a job must be settled (settling.lua), not only forgotten in `expiring`.
local TWO = 50 -- the digit; that of `{"hooks":2` is the tenth byte
local function needs_settling(record) return is_hooked(record) and byte(record, 10) >= TWO end
