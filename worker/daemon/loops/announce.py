"""announce: tell the broker that this worker is there and what it does, and hear what is wanted of it.

Each call waits at the broker until there is an order, or a running job was cancelled. A broker of an older version
answers at once; then an order is heard with the next call, and a cancel with the next touch.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress

import msgspec

from broker.core.errors import TitanError
from broker.models.workers import EVERY_S, Announcement, Order, Orders
from worker.client import Client
from worker.daemon.backoff import Backoff

_LAST_S = 1.0
_PAUSE_S = 0.4
"""The most between two calls, so that very many cancels cost no more than few."""

_log = logging.getLogger(__name__)


class AnnounceLoop:
    """A call every EVERY_S seconds, or whenever one was answered sooner. `hear` is told each answer."""

    def __init__(
        self,
        client: Client,
        announcement: Callable[[], Announcement],
        carry_out: Callable[[Order], object],
        hear: Callable[[Orders], object],
    ) -> None:
        self._client = client
        self._announcement = announcement
        self._carry_out = carry_out
        self._hear = hear
        self._backoff = Backoff("announce", most_s=EVERY_S)
        self._done = 0
        self._seen = ""

    async def run(self) -> None:
        """Go on until cancelled; then say that the worker stops."""
        try:
            while True:
                wait_s = await self.announce_once()
                await asyncio.sleep(wait_s)
        except asyncio.CancelledError:
            with suppress(TitanError, TimeoutError):
                async with asyncio.timeout(_LAST_S):
                    await self._client.announce(msgspec.structs.replace(self._said(), state="stopped"))
            raise

    async def announce_once(self) -> float:
        """Announce, and carry out an order that was not carried out yet; how long to wait until the next time, in s."""
        try:
            orders = await self._client.announce(self._said(), round(EVERY_S), self._seen)
        except TitanError as error:
            return self._backoff.failed(error)
        self._backoff.succeeded()
        self._hear(orders)
        self._seen = orders.seen or ""
        if orders.order and orders.number != self._done:
            _log.warning("ordered to %s", orders.order)
            self._done = orders.number
            self._carry_out(orders.order)
            return 0.1  # soon said to be done
        longest_s = _PAUSE_S if self._seen else EVERY_S
        return random.uniform(longest_s / 2, longest_s)  # noqa: S311 -- no secret

    def _said(self) -> Announcement:
        return msgspec.structs.replace(self._announcement(), done=self._done)
