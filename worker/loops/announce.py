"""announce: tell the broker that this worker is there and what it does, and carry out what is wanted of it."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress

import msgspec

from broker.errors import TitanError
from broker.presence import EVERY_S, Announcement, Order
from worker.backoff import Backoff
from worker.client import Client

_LAST_S = 1.0

_logger = logging.getLogger(__name__)


class AnnounceLoop:
    """One small call every EVERY_S seconds. A broker that knows no workers is asked all the same, and more seldom."""

    def __init__(
        self, client: Client, announcement: Callable[[], Announcement], carry_out: Callable[[Order], object]
    ) -> None:
        self._client = client
        self._announcement = announcement
        self._carry_out = carry_out
        self._backoff = Backoff("announce")
        self._done = 0

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
            orders = await self._client.announce(self._said())
        except TitanError as error:
            return EVERY_S + self._backoff.failed(error)
        self._backoff.succeeded()
        if orders.order and orders.number != self._done:
            _logger.warning("ordered to %s", orders.order)
            self._done = orders.number
            self._carry_out(orders.order)
            return 0.1  # soon said to be done
        return random.uniform(0.8, 1.0) * EVERY_S  # noqa: S311 -- no secret

    def _said(self) -> Announcement:
        return msgspec.structs.replace(self._announcement(), done=self._done)
