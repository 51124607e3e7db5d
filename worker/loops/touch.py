"""touch: keep the leases of everything held, and end what the broker says is no longer held."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import islice

from broker.errors import LeaseLost, NotFound, TitanError, WrongState
from broker.models import MAX_JOBS, Problem
from worker.backoff import Backoff
from worker.client import Client
from worker.outcome import Dropped
from worker.runs import Event, Run, Runs

_LOST = frozenset(error.word.lower() for error in (NotFound, WrongState, LeaseLost))

_logger = logging.getLogger(__name__)


class TouchLoop:
    """One bulk call after each third of a lease."""

    def __init__(self, client: Client, runs: Runs, lease_s: int, on_event: Callable[[Event], None]) -> None:
        self._client = client
        self._runs = runs
        self._every_s = lease_s / 3
        self._on_event = on_event
        self._backoff = Backoff("touch", most_s=self._every_s)

    async def run(self) -> None:
        """Go on for ever."""
        wait_s = self._every_s
        while True:
            await asyncio.sleep(wait_s)
            wait_s = await self.touch_once()

    async def touch_once(self) -> float:
        """Touch everything held; how long to wait until the next time, in s."""
        held = iter(self._runs.held)
        try:
            while part := list(islice(held, MAX_JOBS)):
                await self._touch(part)
        except TitanError as error:
            return self._backoff.failed(error)
        self._backoff.succeeded()
        return self._every_s

    async def _touch(self, part: Sequence[Run]) -> None:
        outcomes = await self._client.touch_all([run.held for run in part])
        for run, outcome in zip(part, outcomes, strict=True):
            if outcome.error:
                self._refused(run, outcome.error)

    def _refused(self, run: Run, problem: Problem) -> None:
        if problem.code not in _LOST:
            return  # the store was away for a moment: the next touch decides
        if run.task is None or run.task.done():
            return  # it ended by itself meanwhile: what it reports decides
        if problem.code == WrongState.word.lower() and run.is_late():
            return  # its time is over, here as there: the runner gives it the time between TERM and KILL
        _logger.warning("job %s: killed, it is no longer held: %.4096r", run.job.id, problem.message)
        run.stop(Dropped())
        self._on_event(Event("dropped", run.job))
