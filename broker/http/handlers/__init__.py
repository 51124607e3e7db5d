"""One handler for each route: it decodes, calls the store once and encodes. error_responses answers what it raises."""
