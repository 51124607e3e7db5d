"""Runners of jobs: one small interface, and one module for each kind."""

import asyncio
from typing import Any, Protocol

from broker.models.jobs import Job
from worker.jobs.outcome import Outcome
from worker.jobs.output import Output


class Runner(Protocol):
    """Runs one job at a time for each call of `run`."""

    async def run(self, job: Job, log: Output) -> Outcome:
        """Run the job to its end, with its output in the log. The job's `timeout` limits the run.

        When cancelled, kill the job and all that it started, and only then raise CancelledError.
        """
        ...

    def abandon(self, task: asyncio.Task[Any]) -> None:
        """Stop as much as possible of a run whose task ignored its cancellation. Raises nothing."""
        ...


class EntryRunner(Protocol):
    """A runner for one kind of entry of the table."""

    async def run(self, entry: Any, job: Job, log: Output) -> Outcome:
        """As Runner.run, for this entry."""
        ...

    async def open(self) -> None:
        """Prepare for the first job, if needed. Raises nothing."""
        ...

    def abandon(self, task: asyncio.Task[Any]) -> None:
        """As Runner.abandon; the run may belong to another runner."""
        ...

    async def aclose(self) -> None:
        """Free what is kept between jobs; no job is running any more."""
        ...
