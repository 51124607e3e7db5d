"""Conversions between the bytes in Redis and structs."""
