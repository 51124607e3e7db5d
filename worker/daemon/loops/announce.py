"""announce: sends heartbeats to the broker, and receives orders and cancels.

Each call waits at the broker for an order or a cancelled job. An older broker answers at once; then an order arrives
with the next call, and a cancel with the next touch. One that is still older refuses fields that it does not know.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress

import msgspec

from broker.core.errors import Invalid, TitanError
from broker.models.workers import EVERY_S, Announcement, Order, Orders
from worker.client import Client
from worker.daemon.backoff import Backoff, Outage

_LAST_S = 1.0
_PAUSE_S = 0.4
"""The longest pause between two calls, so that a flood of cancels costs little, s."""
_NEWER = (frozenset({"since", "finished", "failed"}), frozenset({"groups", "images", "since", "finished", "failed"}))
"""Fields that older brokers do not know: first those of brokers before totals, then those before the dashboard."""

_LOOKS = 3
"""How often it looks for another worker with the same name, between its first heartbeats."""
_NAMESAKE = (
    "another worker, on %.255s, has the name %.255s too: only one of them is listed, and an order may reach "
    "either; give each its own --name"
)

_log = logging.getLogger(__name__)


class AnnounceLoop:
    """Calls every EVERY_S seconds, or as soon as a call was answered. `handle_orders` is called with each answer."""

    def __init__(
        self,
        client: Client,
        announcement: Callable[[], Announcement],
        carry_out: Callable[[Order], object],
        handle_orders: Callable[[Orders], object],
        outage: Outage | None = None,
    ) -> None:
        self._client = client
        self._announcement = announcement
        self._carry_out = carry_out
        self._handle_orders = handle_orders
        self._backoff = Backoff("the heartbeat", outage, max_s=EVERY_S)
        self._done = 0
        self._heartbeats = 0
        self._seen = ""

    async def run(self) -> None:
        """Run until cancelled; then announce that the worker stops."""
        try:
            while True:
                wait_s = await self.announce_once()
                await asyncio.sleep(wait_s)
        except asyncio.CancelledError:
            with suppress(TitanError, TimeoutError):
                async with asyncio.timeout(_LAST_S):
                    await self._announce(msgspec.structs.replace(self._current_announcement(), state="stopped"))
            raise

    async def announce_once(self) -> float:
        """Announce once, and carry out a new order; how long to wait until the next call, in s."""
        if 0 < self._heartbeats <= _LOOKS:
            await self._look_for_namesake()
        try:
            orders = await self._announce(self._current_announcement(), round(EVERY_S), self._seen)
        except TitanError as error:
            return self._backoff.failed(error)
        self._backoff.succeeded()
        self._handle_orders(orders)
        self._heartbeats += 1
        self._seen = orders.seen or ""
        if orders.order and orders.number != self._done:
            _log.warning("ordered to %s", orders.order)
            self._done = orders.number
            self._carry_out(orders.order)
            return 0.1  # report it as carried out soon
        longest_s = _PAUSE_S if self._seen else EVERY_S
        return random.uniform(longest_s / 2, longest_s)  # noqa: S311 -- no secret

    async def _announce(self, announcement: Announcement, wait_s: int = 0, seen: str = "") -> Orders:
        """Announce; once more without the newer fields if the broker refuses one of them."""
        for without in (frozenset[str](), *_NEWER[:-1]):
            try:
                return await self._client.announce(announcement, wait_s, seen, without)
            except Invalid as refused:
                if refused.fields not in _NEWER[-1]:
                    raise
        return await self._client.announce(announcement, wait_s, seen, _NEWER[-1])

    async def _look_for_namesake(self) -> None:
        """Warn once of another worker with this name, which has announced itself since this one did."""
        own = self._announcement()
        try:
            found = await self._client.worker(own.name)
        except TitanError:  # the token may not look, or the broker is older
            return
        if found.since and found.since != own.since:
            self._heartbeats = _LOOKS
            _log.warning(_NAMESAKE, found.host, own.name)

    def _current_announcement(self) -> Announcement:
        return msgspec.structs.replace(self._announcement(), done=self._done)
