"""A Python app whose jobs do nothing."""

from worker import job


@job
async def noop(payload: str) -> None:
    """Do nothing."""
