"""Clients that generators make of the OpenAPI document, against a real broker."""
