"""Stores of every layout that a commit on main had, and what becomes of them today."""
