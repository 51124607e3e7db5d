"""A broker process, built from the rooms."""
