"""What a worker does over and over, one module a verb."""
