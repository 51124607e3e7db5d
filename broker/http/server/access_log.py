"""The access log: a line for each request, or for some of them when there are more than a rate.

A line says for how many requests it stands, so the sum over all lines is the number of requests. Refused and failed
requests have a rate of their own: a flood of others hides none of them.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from broker.core.events import event

SLOW_S = 1.0
"""A request that takes longer, and does not wait for something, has the event request.slow."""
_HELD_S = 1.0
"""How long a request that has no line of its own may wait for the next line, s."""
_GONE = 499
_log = logging.getLogger("broker.access")


class AccessLine(NamedTuple):
    """One request. `client_of` is called for the requests alone that get a line."""

    id: str
    method: str
    route: str
    status: int
    seconds: float
    n_bytes: int
    by: str
    client_of: Callable[[], str]
    may_wait: bool


class AccessLog:
    """Writes the lines, at most `rate` a second for each of the two kinds, and one more a second."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._answered = _Sampler(rate, clock)
        self._refused = _Sampler(rate, clock)

    def note(self, access: AccessLine) -> None:
        """Write the line of a request, or count it."""
        is_refused = access.status >= 400 and access.status != _GONE
        (self._refused if is_refused else self._answered).note(access)

    def close(self) -> None:
        """Write the lines for the requests that were only counted."""
        self._answered.flush()
        self._refused.flush()


class _Sampler:
    """A token bucket with room for `rate` lines, which fills in a second."""

    def __init__(self, rate: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._room, self._at = float(rate), clock()
        self._last: AccessLine | None = None
        self._n = 0
        self._timer: asyncio.TimerHandle | None = None

    def note(self, access: AccessLine) -> None:
        now = self._clock()
        self._room, self._at = min(self._rate, self._room + (now - self._at) * self._rate), now
        self._last = access
        self._n += 1
        if self._room >= 1:
            self._room -= 1
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_HELD_S, self.flush)

    def flush(self) -> None:
        """Write a line for the last request, and for all that were counted since the line before."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._last is not None:
            _write(self._last, self._n)
        self._last, self._n = None, 0


def _write(access: AccessLine, n: int) -> None:
    keys = event(
        _name(access),
        request=access.id,
        by=access.by,
        ms=round(access.seconds * 1000, 3),
        method=access.method,
        route=access.route,
        status=access.status,
        bytes=access.n_bytes,
        client=access.client_of(),
        n=n,
    )
    _log.info("%s %s %d", access.method, access.route, access.status, extra=keys)


def _name(access: AccessLine) -> str:
    if access.status >= 500:
        return "request.failed"
    if access.status >= 400 and access.status != _GONE:
        return "request.refused"
    return "request.slow" if access.seconds > SLOW_S and not access.may_wait else "request.done"
