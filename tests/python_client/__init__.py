"""Tests of the Python client `titan`."""
