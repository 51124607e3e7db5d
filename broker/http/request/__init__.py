"""One request: its path, query, headers and body, checked."""
