"""The HTTP front end: routes, handlers, and what they share."""
