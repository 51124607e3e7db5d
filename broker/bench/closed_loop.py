"""A closed-loop load: each connection sends its next request after the response to the previous one."""

import asyncio
from collections.abc import Callable, Iterator
from typing import NamedTuple

from broker.bench.http_client import BenchAddress, BenchFailed, BenchResponse, ClientConnection, clock

_LATE_S = 30.0
"""How long the last responses may take after the end of the load, in s."""


class LoadResult(NamedTuple):
    """Result of a load: seconds from the first request to the last response, and the duration of each call in s."""

    seconds: float
    calls_s: list[float]
    refusals: list[BenchResponse]


async def run_load(
    address: BenchAddress,
    connections: int,
    requests: Iterator[bytes],
    limit_s: float,
    on_body: Callable[[bytes], None] | None = None,
) -> LoadResult:
    """Send the requests over `connections` connections, for `limit_s` at most. `on_body` gets each body of a 2xx.

    Raises BenchFailed when a connection breaks.
    """
    load = _Load(requests, on_body)
    opened = [await _Repeater(load).open(address) for _ in range(connections)]
    try:
        start = clock()
        load.end = start + limit_s
        load.live = connections
        for repeater in opened:
            repeater.next()
        async with asyncio.timeout(limit_s + _LATE_S):
            await load.done.wait()
    except TimeoutError as error:
        raise BenchFailed(f"A response did not arrive within {_LATE_S:g} s.") from error
    finally:
        load.has_ended = True
        for repeater in opened:
            repeater.close()
    if load.fault:
        raise BenchFailed(load.fault)
    return LoadResult(load.last - start, load.calls_s, load.refusals)


class _Load:
    """The state that all connections of a load share."""

    def __init__(self, requests: Iterator[bytes], on_body: Callable[[bytes], None] | None) -> None:
        self.requests = requests
        self.on_body = on_body
        self.calls_s: list[float] = []
        self.refusals: list[BenchResponse] = []
        self.end = self.last = 0.0
        self.live = 0
        self.fault = ""
        self.has_ended = False
        self.done = asyncio.Event()


class _Repeater(ClientConnection):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._sent = 0.0

    def next(self) -> None:
        """Send the next request, or stop."""
        load, now = self._load, clock()
        request = next(load.requests, None) if now < load.end else None
        if request is None:
            load.last = now
            load.live -= 1
            if load.live == 0:
                load.done.set()
            return
        self._sent = now
        self.write(request)

    def answered(self, status: int, body: bytes) -> None:
        """Record the duration, and send the next request."""
        load = self._load
        if load.has_ended:
            return
        load.calls_s.append(clock() - self._sent)
        if status >= 300:
            load.refusals.append(BenchResponse(status, body))
        elif load.on_body is not None:
            load.on_body(body)
        self.next()

    def lost(self, reason: str) -> None:
        """End the load."""
        if not self._load.has_ended:
            self._load.fault = reason
            self._load.done.set()
