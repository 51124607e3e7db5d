"""The worker daemon: takes jobs, keeps their leases, reports how they ended."""
