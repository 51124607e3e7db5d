"""The loop that promotes delayed jobs, requeues expired leases and deletes expired jobs."""
