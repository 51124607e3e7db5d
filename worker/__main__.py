"""`python -m worker` is `titan worker`."""

from broker.cli.worker import worker

worker(prog_name="titan worker")
