"""Counters and timers of a broker, and the Prometheus text format."""
