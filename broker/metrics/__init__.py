"""What a broker counts and times, and how it is written for Prometheus."""
