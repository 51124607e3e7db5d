"""A closed loop: each connection sends its next request when it has the answer to the one before."""

import asyncio
from collections.abc import Callable, Iterator
from typing import NamedTuple

from broker.bench.http_client import BenchAddress, BenchFailed, BenchResponse, ClientConnection, clock

_LATE_S = 30.0
"""How long the last answers may take after the end."""


class Ran(NamedTuple):
    """What a load did: seconds from the first request to the last answer, and of each call how long it took, in s."""

    seconds: float
    calls_s: list[float]
    refusals: list[BenchResponse]


async def run_load(
    address: BenchAddress,
    connections: int,
    requests: Iterator[bytes],
    limit_s: float,
    keep: Callable[[bytes], None] | None = None,
) -> Ran:
    """Send the requests over so many connections, for `limit_s` at most; `keep` is given each body of a 2xx.

    Raises BenchFailed when a connection breaks.
    """
    load = _Load(requests, keep)
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
        raise BenchFailed(f"An answer did not come within {_LATE_S:g} s.") from error
    finally:
        load.is_over = True
        for repeater in opened:
            repeater.close()
    if load.fault:
        raise BenchFailed(load.fault)
    return Ran(load.last - start, load.calls_s, load.refusals)


class _Load:
    """What the connections of a load share."""

    def __init__(self, requests: Iterator[bytes], keep: Callable[[bytes], None] | None) -> None:
        self.requests = requests
        self.keep = keep
        self.calls_s: list[float] = []
        self.refusals: list[BenchResponse] = []
        self.end = self.last = 0.0
        self.live = 0
        self.fault = ""
        self.is_over = False
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
        """Note how long it took, and go on."""
        load = self._load
        if load.is_over:
            return
        load.calls_s.append(clock() - self._sent)
        if status >= 300:
            load.refusals.append(BenchResponse(status, body))
        elif load.keep is not None:
            load.keep(body)
        self.next()

    def lost(self, reason: str) -> None:
        """End the load."""
        if not self._load.is_over:
            self._load.fault = reason
            self._load.done.set()
