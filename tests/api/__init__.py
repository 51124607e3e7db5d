"""HTTP: every route, its edges and what it refuses."""
