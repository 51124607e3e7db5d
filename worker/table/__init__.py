"""The table of the worker: what runs each image."""
