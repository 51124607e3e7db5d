"""Titan's broker: the HTTP front end, the store and the reaper."""
