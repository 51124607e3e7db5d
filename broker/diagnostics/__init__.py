"""Inspects a store; changes nothing unless asked to repair."""
