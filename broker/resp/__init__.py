"""Everything that communicates with Redis or Valkey, whose protocol is RESP."""
