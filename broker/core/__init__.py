"""What every room may import: errors, states, ids, timestamps, settings, inline tasks. Imports no other room."""
