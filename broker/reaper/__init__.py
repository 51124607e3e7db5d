"""Loops that keep a store tidy: the reaper, and the cleaner that deletes the logs of deleted jobs."""
