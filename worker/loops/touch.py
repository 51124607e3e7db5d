"""touch: keep the leases of everything held, and end what the broker says is no longer held, or what must be lost.

The loop runs in a thread of its own; what it does to a run is done in the worker's loop.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from itertools import islice

from broker.errors import LeaseLost, NotFound, TitanError, WrongState
from broker.models.fields import MAX_JOBS
from broker.models.outcomes import Problem
from worker.backoff import Backoff
from worker.client import Client
from worker.outcome import Dropped
from worker.runs import Event, Run, Runs

_LOST = frozenset(error.word.lower() for error in (NotFound, WrongState, LeaseLost))

_logger = logging.getLogger(__name__)


class TouchLoop:
    """One bulk call after each third of a lease. `home` is the loop in which the jobs run."""

    def __init__(
        self,
        client: Client,
        runs: Runs,
        lease_s: int,
        on_event: Callable[[Event], None],
        home: asyncio.AbstractEventLoop,
    ) -> None:
        self._client = client
        self._runs = runs
        self._lease_s = lease_s
        self._every_s = lease_s / 3
        self._on_event = on_event
        self._home = home
        self._backoff = Backoff("touch", most_s=self._every_s)

    async def run(self) -> None:
        """Go on for ever."""
        touch_at = time.monotonic() + self._every_s
        while True:
            ends = [run.kept_until for run in self._runs.held if run.kept_until is not None]
            await asyncio.sleep(max(0.0, min([touch_at, *ends]) - time.monotonic()))
            self.give_up_lost()
            if time.monotonic() >= touch_at:
                touch_at = time.monotonic() + await self.touch_once()

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

    def give_up_lost(self) -> None:
        """End the jobs whose leases are over by this machine's own clock: by now somebody else may run them."""
        now = time.monotonic()
        for run in self._runs.held:
            if run.kept_until is not None and now >= run.kept_until:
                run.kept_until = None
                self._home.call_soon_threadsafe(self._drop, run, "no touch got through for the length of its lease")

    async def _touch(self, part: Sequence[Run]) -> None:
        asked_at = time.monotonic()
        outcomes = await self._client.touch_all([run.held for run in part])
        for run, outcome in zip(part, outcomes, strict=True):
            if outcome.error:
                self._home.call_soon_threadsafe(self._refused, run, outcome.error)
            elif run.kept_until is not None:
                run.kept_until = asked_at + self._lease_s

    def _refused(self, run: Run, problem: Problem) -> None:
        if problem.code not in _LOST:
            return  # the store was away for a moment: the next touch decides
        if problem.code == WrongState.word.lower() and run.is_late():
            return  # its time is over, here as there: the runner gives it the time between TERM and KILL
        self._drop(run, problem.message)

    def _drop(self, run: Run, why: str) -> None:
        if run.task is None or run.task.done():
            return  # it ended by itself meanwhile: what it reports decides
        _logger.warning("job %s: killed, it is no longer held: %.4096r", run.job.id, why)
        run.stop(Dropped())
        self._on_event(Event("dropped", run.job))
