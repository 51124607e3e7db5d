"""The runner for the whole table: finds the entry of a job, and calls the runner for its kind."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from broker.models.jobs import Job
from worker.jobs.outcome import Outcome, Released
from worker.jobs.output import Output
from worker.runners import EntryRunner
from worker.table.entries import Entry
from worker.table.table import Tables

_log = logging.getLogger(__name__)


class RunnerByEntry:
    """Looks each job up in the present table. A job whose image is not in it is released, for another worker."""

    def __init__(
        self, tables: Tables, makers: Mapping[type[Entry], Callable[[], EntryRunner]], give_back_s: int
    ) -> None:
        self._tables = tables
        self._makers = makers
        self._runners: dict[type[Entry], EntryRunner] = {}
        self._give_back_s = give_back_s
        self._unknown: set[str] = set()

    async def open(self) -> None:
        """Prepare the runners of the table."""
        for kind in self._tables.current.types:
            await self._runner(kind).open()

    async def run(self, job: Job, log: Output) -> Outcome:
        """Run the job as its entry says."""
        entry = self._tables.current.entry(job.image)
        if entry is None:
            return self._cannot_run(job)
        return await self._runner(type(entry)).run(entry, job, log)

    def abandon(self, task: asyncio.Task[Any]) -> None:
        """Stop as much as possible of a run that ignored its cancellation."""
        for runner in self._runners.values():
            runner.abandon(task)

    async def aclose(self) -> None:
        """Close each runner."""
        for runner in self._runners.values():
            await runner.aclose()

    def _runner(self, kind: type[Entry]) -> EntryRunner:
        if kind not in self._runners:
            self._runners[kind] = self._makers[kind]()
        return self._runners[kind]

    def _cannot_run(self, job: Job) -> Released:
        if job.image not in self._unknown:
            self._unknown.add(job.image)
            _log.warning(
                "job %s: nothing in the table for image %.255r; such jobs are released for %d s (logged once)",
                job.id, job.image, self._give_back_s,
            )  # fmt: skip
        return Released(self._give_back_s)
