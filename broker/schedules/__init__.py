"""When schedules are due: cron expressions, intervals and single times, in the zones of the tz database. No store."""
