"""`python -m worker` is `titan worker`."""

from worker.cli import worker

worker(prog_name="titan worker")
