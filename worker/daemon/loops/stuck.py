"""stuck: abandons runs that do not end when they are stopped, so that their slots and reports do not wait."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from worker.daemon.deliveries import Deliveries, Delivery
from worker.jobs.outcome import Failed, Outcome

_CHECK_S = 0.5
_EXTRA_S = 2.0
"""How much longer than the time between TERM and KILL a run may take to end, s."""


class StuckLoop:
    """Checks all runs twice a second. `abandon` reports a run with an outcome, and frees its slot."""

    def __init__(
        self, deliveries: Deliveries, kill_after_s: float, abandon: Callable[[Delivery, Outcome], None]
    ) -> None:
        self._deliveries = deliveries
        self._end_s = kill_after_s + _EXTRA_S
        self._abandon = abandon

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await asyncio.sleep(_CHECK_S)
            self.abandon_stuck(self._end_s)

    async def until_idle(self, wait_s: float) -> None:
        """Wait until no job runs, at most `wait_s`; then abandon the rest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._deliveries.wait_until_idle()
        self.abandon_stuck(0.0)

    def abandon_stuck(self, end_s: float) -> None:
        """Abandon each run that still runs `end_s` after its timeout, or after it was stopped."""
        for delivery in self._deliveries.running:
            if delivery.is_stuck(end_s):
                self._abandon(delivery, delivery.forced_outcome or _timed_out(delivery))


def _timed_out(delivery: Delivery) -> Failed:
    how = "; it did not end when it was stopped"
    return Failed("timeout", f"ran longer than its timeout of {delivery.job.timeout} s{how}")
