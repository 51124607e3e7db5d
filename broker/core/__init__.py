"""Leaves that every room may use: errors, states, ids, times, settings."""
