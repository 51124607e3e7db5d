-- For settle: what few ends need. It is loaded when one of them does.
local late_ends = { batches = batch_ends, schedule_ends = schedule_ends, refresh_key = refresh_key, lanes = lane_turns }
