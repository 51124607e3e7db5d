"""Job output: its storage and its followers."""
