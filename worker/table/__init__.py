"""The worker's table: which image runs what."""
