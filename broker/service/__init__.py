"""A broker process, put together from the rooms."""
