"""Shedding load: only so many requests are in progress at once; others wait their turn, and are refused after 2 s.

A refusal costs nearly as much as what it refuses, so there are few: one for ten that are let in, until 10 s passed;
who waits costs nothing. While the store is away there is little to wait for: those in line are refused soon, so that
this wait and the one for the store stay under 2 s together.

What ends work goes before what begins it, and who looks after the broker is always let in; logs are streamed as fast as
their clients and do not count. A request that waits for its client, in a long poll or for its body, is not in progress:
slow clients take no room.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf

from broker.core.errors import Overloaded, StoreUnavailable, TitanError
from broker.metrics.exposition import Family, Sample, counter, gauge

NEVER, LAST, FIRST = range(3)
"""How soon a request is shed."""
PATIENCE_S, LONGEST_S = 2.0, 10.0
"""How long a request waits before it may be refused, and before it is."""
AWAY_PATIENCE_S, AWAY_S = 0.5, 1.0
"""How long it waits while the store is away; which it counts as for so long after it failed somebody."""
LOOK_S = 0.1
REFUSED = 0.1
"""Refusals for each request that was let in."""

_RANKS = dict.fromkeys(("healthz", "readyz", "metrics", "openapi", "log", "read_log"), NEVER) | dict.fromkeys(
    ("start", "touch", "succeed", "fail", "release", "finish", "touch_many", "announce"), LAST
)
_MORE_FOR_LAST = 2
_BODY_BYTES = 8192
"""A body weighs as much as another request for each of these."""
_LARGEST = 0.25
"""The most that one request weighs, as a part of the limit."""


class QueuedRequest:
    """A request in line. Either `begin` or `refuse` is called, once, unless its client leaves before: `cancel`."""

    __slots__ = ("begin", "is_gone", "refuse", "since", "weight")

    def __init__(self, weight: int, begin: Callable[[], object], refuse: Callable[[TitanError], object]) -> None:
        self.weight = weight
        self.begin = begin
        self.refuse = refuse
        self.since = time.monotonic()
        self.is_gone = False

    def cancel(self) -> None:
        """The client is gone."""
        self.is_gone = True


def rank_of(verb: str) -> int:
    """How soon requests of the verb are shed: FIRST, at the limit; LAST, at twice that; or NEVER."""
    return _RANKS.get(verb, FIRST)


class AdmissionControl:
    """Each request: `weigh`, then `admit` or else `enqueue`, and `leave` at its end. `limit` is of what is in progress.

    Who is in line is kept small: what a request needs while it is worked on is made when its turn comes.
    """

    def __init__(self, limit: int) -> None:
        self.in_progress = 0
        self.refused = 0
        self._limits = (inf, limit * _MORE_FOR_LAST, limit)
        self._largest = max(1, int(limit * _LARGEST))
        self._turns: tuple[deque[QueuedRequest], ...] = (deque(), deque(), deque())
        self._admitted = 0
        self._away_until = 0.0
        self._look: asyncio.TimerHandle | None = None

    def weigh(self, rank: int, body_bytes: int) -> int:
        """How much room a request takes."""
        return rank and min(1 + body_bytes // _BODY_BYTES, self._largest)

    def admit(self, rank: int, weight: int) -> bool:
        """Let a request in, if there is room for it now."""
        if self.in_progress >= self._limits[rank] or self._turns[rank]:
            return False
        self.in_progress += weight
        self._admitted += 1
        return True

    def enqueue(
        self, rank: int, weight: int, begin: Callable[[], object], refuse: Callable[[TitanError], object]
    ) -> QueuedRequest:
        """Let a request in when it is its turn: `begin` is called, in a turn of the loop of its own.

        Or `refuse`, with Overloaded when that does not come, with StoreUnavailable while the store is away: nothing of
        it was done.
        """
        turn = QueuedRequest(weight, begin, refuse)
        self._turns[rank].append(turn)
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(LOOK_S, self._look_again)
        return turn

    async def turn(self, rank: int, weight: int) -> None:
        """Line up, and return when it is its turn. Raises Overloaded, StoreUnavailable."""
        came: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def begin() -> None:
            if came.cancelled():
                self.leave(weight)
            else:
                came.set_result(None)

        def refuse(fault: TitanError) -> None:
            if not came.cancelled():
                came.set_exception(fault)

        turn = self.enqueue(rank, weight, begin, refuse)
        try:
            await came
        except asyncio.CancelledError:
            turn.cancel()
            if came.done() and not came.cancelled() and came.exception() is None:  # it was let in, and is gone
                self.leave(weight)
            raise

    def store_failed(self) -> None:
        """The store did not answer somebody: those who have waited for a while already hear of it at once."""
        self._away_until = time.monotonic() + AWAY_S
        self._refuse()

    def leave(self, weight: int) -> None:
        """A request has ended."""
        self.in_progress -= weight
        for rank in (LAST, FIRST):
            turns = self._turns[rank]
            while turns and self.in_progress < self._limits[rank]:
                turn = turns.popleft()
                if not turn.is_gone:
                    self.in_progress += turn.weight
                    self._admitted += 1
                    asyncio.get_running_loop().call_soon(self._come, turn)

    def _come(self, turn: QueuedRequest) -> None:
        if turn.is_gone:
            self.leave(turn.weight)
        else:
            turn.begin()

    def _refuse(self) -> None:
        """Refuse those that have waited longest, as many as may be."""
        now, left, self._admitted = time.monotonic(), max(1, int(self._admitted * REFUSED)), 0
        is_away = now < self._away_until
        for turns in self._turns:
            while turns and (turns[0].is_gone or now - turns[0].since > _patience_s(left, is_away=is_away)):
                turn = turns.popleft()
                if not turn.is_gone:
                    turn.refuse(_not_begun() if is_away else Overloaded())
                    self.refused += 1
                    left -= 1

    def _look_again(self) -> None:
        """Refuse, and look again while anybody waits."""
        self._refuse()
        waits = any(self._turns)
        self._look = asyncio.get_running_loop().call_later(LOOK_S, self._look_again) if waits else None

    @contextmanager
    def waiting(self, weight: int) -> Iterator[None]:
        """Inside the block a request waits for its client, and is not in progress."""
        self.pause(weight)
        try:
            yield
        finally:
            self.go_on(weight)

    def pause(self, weight: int) -> None:
        """A request waits for its client from now on; `go_on` says that it did."""
        self.leave(weight)

    def go_on(self, weight: int) -> None:
        """It is in progress again, whatever the limit."""
        self.in_progress += weight

    def families(self) -> list[Family]:
        """What is in progress, what waits, and what was refused, as metrics."""
        waiting = sum(len(turns) for turns in self._turns)
        return [
            gauge("titan_requests_in_progress", "Requests in progress, large ones more.", [Sample(self.in_progress)]),
            gauge("titan_requests_waiting", "Requests that wait for their turn.", [Sample(waiting)]),
            counter("titan_requests_shed_total", "Requests refused as too many.", [Sample(self.refused)]),
        ]


def _patience_s(left: int, *, is_away: bool) -> float:
    if is_away:
        return AWAY_PATIENCE_S
    return PATIENCE_S if left > 0 else LONGEST_S


def _not_begun() -> TitanError:
    return StoreUnavailable("The store is not available; nothing was done.", retry_after_s=1)
