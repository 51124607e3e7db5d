"""stuck: abandons runs that do not end when they are stopped, so that their slots and reports do not wait."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from worker.daemon.deliveries import Deliveries, Delivery
from worker.jobs.outcome import Failed, Outcome

_LOOK_S = 0.5
_MORE_S = 2.0
"""How much longer than the time between TERM and KILL a run may take to end, s."""


class StuckLoop:
    """Checks all runs twice a second. `abandon` reports a run with an outcome, and frees its slot."""

    def __init__(self, runs: Deliveries, kill_after_s: float, abandon: Callable[[Delivery, Outcome], None]) -> None:
        self._runs = runs
        self._end_s = kill_after_s + _MORE_S
        self._abandon = abandon

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.look_once(self._end_s)

    async def until_idle(self, wait_s: float) -> None:
        """Wait until no job runs, at most `wait_s`; then abandon the rest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._runs.idle()
        self.look_once(0.0)

    def look_once(self, end_s: float) -> None:
        """Abandon each run that still runs `end_s` after its timeout, or after it was stopped."""
        for run in self._runs.running:
            if run.is_stuck(end_s):
                self._abandon(run, run.instead or _timed_out(run))


def _timed_out(run: Delivery) -> Failed:
    how = "; it did not end when it was stopped"
    return Failed("timeout", f"ran longer than its timeout of {run.job.timeout} s{how}")
