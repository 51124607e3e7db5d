"""What the store promises for every verb, on each kind of server."""
