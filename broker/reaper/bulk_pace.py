"""How fast a bulk goes: at its rate at most, and so that what else uses the store keeps its latency.

Four times a second a bulk reads how much CPU the store used for all its clients, and the broker for all its callers.
While both are less than half busy, the bulk takes a larger share of the store's time; above that, or when the store
answers late, a smaller one, down to a tenth. Its pipelines are short: others wait while the store carries one out.
"""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from statistics import median
from typing import NamedTuple

CHUNK = 50
"""Jobs of one pipeline at most."""
CHUNK_S, MOST_CHUNK_S = 0.002, 0.005
"""How long the store works on one pipeline, s; where calls wait longer than that anyway, as long as they wait."""
SHARE = 0.1
"""The part of the store's time that all bulks together may use however busy it is."""
MOST_SHARE = 0.8
BUSY = 0.5
"""Of a core: how much the store, or the broker, works at most while bulks take more than SHARE."""
LATE_S = 0.02
"""From when on the store, or the way to it, is slow: how long the median pipeline waits besides its work, s."""
ADJUST_S = 0.25
CATCH_UP = 1.08
"""How much faster than its rate a bulk goes that was slower for a while."""
BEHIND_S, _BURST_S = 10.0, 0.05
"""How much of what it lost it makes up for at most, and how much at once, in s of its rate."""
_FIRST_COST_S = 0.0002
_COSTS = 12

CpuTime = Callable[[], Awaitable[float | None]]


class _Usage(NamedTuple):
    """The CPU that store and broker had used at a time, s."""

    at: float
    store_s: float | None
    broker_s: float

    def busy_since(self, before: "_Usage") -> float | None:
        """How much of a core the busier of both used; None if the store does not say."""
        if self.store_s is None or before.store_s is None:
            return None
        return max(self.store_s - before.store_s, self.broker_s - before.broker_s) / (self.at - before.at)


class BulkPace:
    """The pace of one bulk. `cpu_s` reads how much CPU the store has used, s, or None if it does not say.

    `until`: when the next step may begin, by the monotonic clock. `share`: the part of the store's time that it uses.
    `own_cpu_s`: the CPU that the broker has used, s.
    """

    def __init__(
        self,
        rate: int | None,
        cpu_s: CpuTime,
        clock: Callable[[], float] = time.monotonic,
        own_cpu_s: Callable[[], float] = time.thread_time,
    ) -> None:
        self.share = SHARE
        self.until = 0.0
        self._rate = rate
        self._cpu_s = cpu_s
        self._clock = clock
        self._own_cpu_s = own_cpu_s
        self._due = self._soonest = clock()
        self._costs = deque([_FIRST_COST_S], _COSTS)
        self._waits: list[float] = []
        self._wait_s = 0.0
        self._before = _Usage(clock(), None, own_cpu_s())
        self._began = 0.0

    @property
    def chunk(self) -> int:
        """Jobs of the next pipeline: fewer if they are costly, or for a slow rate, which ten a second keep even."""
        most = CHUNK if self._rate is None else max(1, min(CHUNK, self._rate // 10))
        return max(1, min(most, int(min(MOST_CHUNK_S, max(CHUNK_S, self._wait_s)) / self._cost_s())))

    def begin(self) -> None:
        """A pipeline is sent now."""
        self._began = self._clock()

    def acted(self, n: int, store_s: float) -> None:
        """The store worked for this long on n jobs, and the reply is here."""
        self._waits.append(max(0.0, self._clock() - self._began - store_s))
        self._costs.append(store_s / n)
        self._rest(n * self._cost_s())
        if self._rate is not None:
            now, due_s = self._clock(), n / self._rate
            self._due = max(self._due, now - BEHIND_S) + due_s
            self._soonest = max(self._soonest, now - _BURST_S) + due_s / CATCH_UP
            self.until = max(self.until, self._due, self._soonest)

    def looked(self, store_s: float) -> None:
        """The store worked for this long to find jobs."""
        self._rest(store_s)

    async def adjust(self, n_running: int) -> None:
        """Take a larger or smaller share, if it is time; of SHARE its part, while this number of bulks run."""
        if self._clock() - self._before.at < ADJUST_S:
            return
        before, self._before = self._before, _Usage(self._clock(), await self._cpu_s(), self._own_cpu_s())
        busy = self._before.busy_since(before)
        self._wait_s = median(self._waits) if self._waits else 0.0
        self._waits.clear()
        least = SHARE / max(1, n_running)
        if busy is None:
            self.share = least
        elif self._wait_s > LATE_S:
            self.share = max(least, self.share / 2)
        else:
            self.share = max(least, min(MOST_SHARE, self.share * max(0.5, min(1.5, BUSY / max(busy, 0.01)))))

    def _cost_s(self) -> float:
        """How long the store works on a job, s: the lower quartile, since a machine that is busy only adds to it."""
        return max(1e-6, sorted(self._costs)[len(self._costs) // 4])

    def _rest(self, store_s: float) -> None:
        self.until = self._clock() + store_s * (1 / self.share - 1)
