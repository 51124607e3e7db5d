"""A handler for each route: decode, one call of the store, encode. Refusals are raised and answered elsewhere."""
