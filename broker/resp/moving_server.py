"""A server that may move to another address, as in a failover, and all connections to it.

A connection that stays open would reach the server at its old address, where writes are lost. So each move closes the
connections to any other address.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol
from weakref import WeakSet

from redis import exceptions

from broker.metrics.exposition import Family, Sample, counter
from broker.resp.multiplexer import Multiplexer
from broker.resp.redis_private import CODES
from broker.resp.resp_connection import RespConnection
from broker.resp.seeds import Place

_log = logging.getLogger(__name__)
_TROUBLE = {"READONLY", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN"}
"""Codes of replies which show that the server may not be the right one any more."""


class Pooled(Protocol):
    """A connection of redis-py."""

    @property
    def place(self) -> Place:
        """Where it leads."""

    def drop(self) -> None:
        """Close it at once; a call in flight fails."""


class MovingServer:
    """One server, found by `find`. It is the `resolve` of new connections.

    `must_be_primary`: a new connection checks ROLE, because a server that was the primary may not know yet that it is
    none. `on_trouble` is called with the reason when an error shows that the server may have moved.
    """

    def __init__(self, name: str, find: Callable[[], Awaitable[Place]], *, must_be_primary: bool) -> None:
        self.name = name
        self.place: Place | None = None
        self.must_be_primary = must_be_primary
        self.multiplexer: Multiplexer | None = None
        self.on_trouble: Callable[[str], None] = lambda _: None
        self._find = find
        self._pooled: WeakSet[Pooled] = WeakSet()
        self._noticed_at: float | None = None
        self._trouble = ""
        self._was_up = False
        self.moves = 0
        self._retired: dict[asyncio.Task[None], RespConnection] = {}

    async def __call__(self) -> Place:
        """Host and port for a new connection. Raises redis-py's ConnectionError when nobody knows."""
        return await self._find()

    def opened(self, connection: Pooled) -> None:
        """Close this connection of redis-py when the server moves. Raises ConnectionError if it just did."""
        if connection.place != self.place:
            raise exceptions.ConnectionError(f"{self.name} has moved")
        self._pooled.add(connection)

    def refused(self, error: Exception, *_: object) -> bool:
        """See an error reply, as the `on_error` of a multiplexer; False: it is not handled here."""
        code = CODES.get(type(error)) or str(error).partition(" ")[0]
        if code in _TROUBLE:
            self.trouble(code)
        return False

    def trouble(self, reason: str) -> None:
        """Have the address asked for at once: the server may not be the right one any more."""
        self._trouble = reason
        if self._noticed_at is None:
            self._noticed_at = time.monotonic()
        self.on_trouble(reason)

    @property
    def is_up(self) -> bool:
        """Whether the server answers, as far as the multiplexer knows."""
        return self.multiplexer is not None and self.multiplexer.is_up

    def settle(self) -> None:
        """Forget trouble, because the address was asked for and is right; not while the server does not answer."""
        if self.is_up:
            self._noticed_at, self._trouble, self._was_up = None, "", True
        elif self._noticed_at is None and self._was_up:
            self._noticed_at, self._trouble = time.monotonic(), "the lost connection"

    def move(self, place: Place, reason: str, *, leaves_at_once: bool = True) -> None:
        """Use this address from now on. Connections to another one are closed, their calls in flight fail.

        With `leaves_at_once` false the multiplexer's connection first receives the replies to its calls in flight.
        """
        old, self.place = self.place, place
        if old in {None, place}:
            return
        self.moves += 1
        noticed_s = 0.0 if self._noticed_at is None else time.monotonic() - self._noticed_at
        why = f"{reason}, {noticed_s:.2f} s after {self._trouble}" if self._trouble else reason
        self._noticed_at, self._trouble = None, ""
        _log.warning("%s has moved from %s to %s: %s", self.name, _text(old), _text(place), why)
        if not leaves_at_once:
            self._retire()
            return
        if self.multiplexer is not None:
            self.multiplexer.leave(place, f"{self.name} has moved to {_text(place)}")
        for connection in tuple(self._pooled):
            if connection.place != place:
                connection.drop()
                self._pooled.discard(connection)

    def families(self, server: str) -> list[Family]:
        """The number of moves."""
        sample = Sample(self.moves, {"server": server})
        return [counter("titan_store_failovers_total", "Changes of the address of the server.", [sample])]

    async def close(self) -> None:
        """Close connections that still wait for replies from an old address."""
        for connection in self._retired.values():
            connection.lose(exceptions.ConnectionError, "the store is closed")
        await asyncio.gather(*self._retired)

    def _retire(self) -> None:
        connection = self.multiplexer.retire() if self.multiplexer is not None else None
        if connection is not None:
            draining = asyncio.create_task(_drain(connection))
            self._retired[draining] = connection
            draining.add_done_callback(self._retired.pop)


async def _drain(connection: RespConnection) -> None:
    with suppress(exceptions.RedisError):
        await connection.call(("PING",))  # the server replies in order, so all earlier calls have their replies then
    connection.lose(exceptions.ConnectionError, "the server has moved")


def _text(place: Place | None) -> str:
    return "nowhere" if place is None else f"{place[0]}:{place[1]}"
