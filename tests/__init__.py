"""Titan's tests."""
