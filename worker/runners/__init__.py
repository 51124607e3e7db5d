"""What runs a job: one small interface, and one module for each way."""

import asyncio
from typing import Any, Protocol

from broker.models.jobs import Job
from worker.jobs.outcome import Outcome
from worker.jobs.output import Output


class Runner(Protocol):
    """Runs one job at a time for each call of `run`."""

    async def run(self, job: Job, log: Output) -> Outcome:
        """Run the job to its end, with its output in the log. The job's `timeout` bounds the run.

        When cancelled, end the job at once with all that it started, and only then raise CancelledError.
        """
        ...

    def abandon(self, task: asyncio.Task[Any]) -> None:
        """End what can be ended of a run whose task went on after it was cancelled. Raises nothing."""
        ...


class EntryRunner(Protocol):
    """A runner for one kind of entry of the table."""

    async def run(self, entry: Any, job: Job, log: Output) -> Outcome:
        """As Runner.run, in the way that the entry says."""
        ...

    async def open(self) -> None:
        """Make ready before the first job, where there is something to make ready. Raises nothing."""
        ...

    def abandon(self, task: asyncio.Task[Any]) -> None:
        """As Runner.abandon; the run may be another runner's."""
        ...

    async def aclose(self) -> None:
        """Let go of what is held between jobs; none runs any more."""
        ...
