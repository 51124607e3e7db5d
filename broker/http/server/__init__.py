"""Connections: protocol, fast path, admission control, TLS."""
