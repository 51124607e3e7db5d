"""The state machine against a small model of it, in any order of calls."""
