"""Admission control: how many requests may run at once. Others wait, and after 2 s they may be refused (load shedding).

A refusal costs nearly as much as a request, and waiting costs nothing, so refusals are few: one for ten requests that
were admitted, until a request has waited for 10 s. While the store is away, waiting is of little use: waiting requests
are refused soon, so that this wait and the wait for the store stay under 2 s together.

Requests that end work have priority over those that begin it, and health checks are always admitted. Log requests and
live views are streamed as fast as their clients and do not count. A request that waits for its client, in a long poll
or for its body, does not count either, so slow clients take no room.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf

from aiohttp import web
from aiohttp.typedefs import Handler

from broker.core.errors import Overloaded, StoreUnavailable, TitanError
from broker.core.words import counted
from broker.metrics.exposition import Family, Sample, counter, gauge

SHED_NEVER, SHED_LAST, SHED_FIRST = range(3)
"""The priorities of requests: when they are refused, compared with others."""
PATIENCE_S, LONGEST_S = 2.0, 10.0
"""How long a request waits before it may be refused, and before it is refused in any case."""
AWAY_PATIENCE_S, AWAY_S = 0.5, 1.0
"""How long a request waits while the store is away; and how long the store counts as away after a failure."""
CHECK_S = 0.1
REFUSED = 0.1
"""Refusals for each request that was admitted."""

_UNCOUNTED = ("healthz", "readyz", "metrics", "openapi", "log", "read_log", "stream_check", "watch", "listen")
_PRIORITIES = dict.fromkeys(_UNCOUNTED, SHED_NEVER) | dict.fromkeys(
    ("start", "touch", "succeed", "fail", "release", "finish", "touch_many", "announce"), SHED_LAST
)
_MORE_FOR_LAST = 2
_BODY_BYTES = 8192
"""A body weighs as much as one more request for each of these."""
_LARGEST = 0.25
"""The most that one request weighs, as a part of the limit."""

_log = logging.getLogger(__name__)


class QueuedRequest:
    """A request that waits. Either `start` or `refuse` is called once, unless its client leaves first: `cancel`."""

    __slots__ = ("is_gone", "refuse", "since", "start", "weight")

    def __init__(self, weight: int, start: Callable[[], object], refuse: Callable[[TitanError], object]) -> None:
        self.weight = weight
        self.start = start
        self.refuse = refuse
        self.since = time.monotonic()
        self.is_gone = False

    def cancel(self) -> None:
        """The client is gone."""
        self.is_gone = True


def priority_of(verb: str) -> int:
    """When requests of the verb are refused: SHED_FIRST, at the limit; SHED_LAST, at twice the limit; or SHED_NEVER."""
    return _PRIORITIES.get(verb, SHED_FIRST)


class AdmissionControl:
    """For each request: `weigh`, then `admit` or else `enqueue`, and `leave` at its end.

    `limit` is the most weight in progress. A waiting request is kept small: its work is made when it starts.
    """

    def __init__(self, limit: int) -> None:
        self.in_progress = 0
        self.refused = 0
        self._limits = (inf, limit * _MORE_FOR_LAST, limit)
        self._largest = max(1, int(limit * _LARGEST))
        self._queues: tuple[deque[QueuedRequest], ...] = (deque(), deque(), deque())
        self._admitted = 0
        self._away_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def weigh(self, priority: int, body_bytes: int) -> int:
        """How much room a request takes."""
        return priority and min(1 + body_bytes // _BODY_BYTES, self._largest)

    def admit(self, priority: int, weight: int) -> bool:
        """Admit a request if there is room for it now."""
        if self.in_progress >= self._limits[priority] or self._queues[priority]:
            return False
        self.in_progress += weight
        self._admitted += 1
        return True

    def enqueue(
        self, priority: int, weight: int, start: Callable[[], object], refuse: Callable[[TitanError], object]
    ) -> QueuedRequest:
        """Queue a request. `start` is called in a later loop iteration, when the request is admitted.

        Otherwise `refuse` is called: with Overloaded after the longest wait, with StoreUnavailable while the store is
        away. Nothing was done for the request then.
        """
        request = QueuedRequest(weight, start, refuse)
        self._queues[priority].append(request)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(CHECK_S, self._check)
        return request

    async def wait(self, priority: int, weight: int) -> None:
        """Queue a request, and return when it is admitted. Raises Overloaded, StoreUnavailable."""
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def start() -> None:
            if admitted.cancelled():
                self.leave(weight)
            else:
                admitted.set_result(None)

        def refuse(fault: TitanError) -> None:
            if not admitted.cancelled():
                admitted.set_exception(fault)

        request = self.enqueue(priority, weight, start, refuse)
        try:
            await admitted
        except asyncio.CancelledError:
            request.cancel()
            if admitted.done() and not admitted.cancelled() and admitted.exception() is None:
                self.leave(weight)  # it was admitted in the same iteration
            raise

    def store_failed(self) -> None:
        """The store did not answer a request: refuse those that have waited for a while at once."""
        self._away_until = time.monotonic() + AWAY_S
        self._refuse()

    def leave(self, weight: int) -> None:
        """A request has ended. Admit others that fit."""
        self.in_progress -= weight
        for priority in (SHED_LAST, SHED_FIRST):
            queue = self._queues[priority]
            while queue and self.in_progress < self._limits[priority]:
                request = queue.popleft()
                if not request.is_gone:
                    self.in_progress += request.weight
                    self._admitted += 1
                    asyncio.get_running_loop().call_soon(self._start, request)

    def _start(self, request: QueuedRequest) -> None:
        if request.is_gone:
            self.leave(request.weight)
        else:
            request.start()

    def _refuse(self) -> None:
        """Refuse the requests that have waited longest, as many as the number of admissions allows."""
        now, left, self._admitted = time.monotonic(), max(1, int(self._admitted * REFUSED)), 0
        is_away = now < self._away_until
        for queue in self._queues:
            while queue and (queue[0].is_gone or now - queue[0].since > _patience_s(left, is_away=is_away)):
                request = queue.popleft()
                if not request.is_gone:
                    request.refuse(_not_begun() if is_away else Overloaded())
                    self.refused += 1
                    left -= 1

    def _check(self) -> None:
        """Refuse, and check again while a request waits."""
        self._refuse()
        is_waiting = any(self._queues)
        self._timer = asyncio.get_running_loop().call_later(CHECK_S, self._check) if is_waiting else None

    @contextmanager
    def waiting(self, weight: int) -> Iterator[None]:
        """Inside the block a request waits for its client, and does not count."""
        self.pause(weight)
        try:
            yield
        finally:
            self.resume(weight)

    def pause(self, weight: int) -> None:
        """A request waits for its client, and does not count until `resume`."""
        self.leave(weight)

    def resume(self, weight: int) -> None:
        """The request counts again, even above the limit."""
        self.in_progress += weight

    @property
    def n_waiting(self) -> int:
        """How many requests wait for their turn."""
        return sum(len(queue) for queue in self._queues)

    def families(self) -> list[Family]:
        """The weight in progress and the numbers of waiting and refused requests, as metrics."""
        waiting = self.n_waiting
        return [
            gauge("titan_requests_in_progress", "Requests in progress, large ones more.", [Sample(self.in_progress)]),
            gauge("titan_requests_waiting", "Requests that wait for their turn.", [Sample(waiting)]),
            counter("titan_requests_shed_total", "Requests refused as too many.", [Sample(self.refused)]),
        ]


class InProgress:
    """Counts all requests in progress, so that a stop can wait for them. While it is stopping, connections close.

    aiohttp's own clean-up drops the rest of a body that still arrives, so it must not begin before they have ended.
    """

    def __init__(self) -> None:
        self.is_stopping = False
        self.count = 0
        self._changed = asyncio.Event()

    def ended(self) -> None:
        """A request has ended."""
        self.count -= 1
        if self.is_stopping:
            self._changed.set()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count one request of aiohttp. While stopping, its connection is closed after the response."""
        self.count += 1
        try:
            response = await handler(request)
        finally:
            self.ended()
        if self.is_stopping:
            response.force_close()
        return response

    async def drain(self, limit_s: float) -> None:
        """Wait until no request is in progress, for `limit_s` at most."""
        self.is_stopping = True
        try:
            async with asyncio.timeout(limit_s):
                while self.count:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            _log.warning("%s broken off after more than %g s", counted(self.count, "request"), limit_s)


def _patience_s(left: int, *, is_away: bool) -> float:
    if is_away:
        return AWAY_PATIENCE_S
    return PATIENCE_S if left > 0 else LONGEST_S


def _not_begun() -> TitanError:
    return StoreUnavailable("The store is not available; nothing was done.", retry_after_s=1)
