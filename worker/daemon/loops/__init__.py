"""The loops of a worker, one module a verb."""
