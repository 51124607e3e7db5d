"""The worker daemon: dequeues jobs, renews their leases, reports their outcomes."""
