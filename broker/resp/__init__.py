"""Everything that speaks to Redis or Valkey, whose protocol is RESP."""
