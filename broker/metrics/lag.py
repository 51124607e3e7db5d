"""How late the event loop is: whatever holds it up holds up every request of this broker."""

import asyncio
import time

from broker.metrics.exposition import Family, Histogram, Sample, gauge, histogram

STEP_S = 0.02
"""How often it looks. A stall is seen as its length less this at worst."""
WINDOW_S = 30.0


class LoopLag:
    """A timer that notes how late it was. `longest_s` is the longest of the last 30 to 60 s."""

    def __init__(self) -> None:
        self._times = Histogram()
        self._longest_s = 0.0
        self._longest_before_s = 0.0
        self._window_ends = time.monotonic() + WINDOW_S

    @property
    def longest_s(self) -> float:
        """The longest lag of this window and the one before."""
        return max(self._longest_s, self._longest_before_s)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = time.monotonic() + STEP_S
            await asyncio.sleep(STEP_S)
            self.observe(max(0.0, time.monotonic() - due))

    def observe(self, seconds: float) -> None:
        """The timer was this late."""
        self._times.observe(seconds)
        now = time.monotonic()
        if now > self._window_ends:
            self._longest_before_s, self._longest_s, self._window_ends = self._longest_s, 0.0, now + WINDOW_S
        self._longest_s = max(self._longest_s, seconds)

    def families(self) -> list[Family]:
        """The lag as it was seen 50 times a second, and the longest of the last minute."""
        return [
            histogram("titan_loop_lag_seconds", "How late the event loop was, 50 looks a second.", [({}, self._times)]),
            gauge("titan_loop_lag_max_seconds", "The longest lag of the last minute.", [Sample(self.longest_s)]),
        ]
