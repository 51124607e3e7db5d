"""A broker among the others of its store: announces itself, and leaves a store that has become another one."""

import asyncio
import logging
import os
import socket
import time

from broker.core.errors import StoreUnavailable, TitanError
from broker.core.timestamps import rfc3339
from broker.core.version import own_version
from broker.models.brokers import EVERY_S, BrokerAnnouncement, LiveBroker
from broker.resp.marks import READS, WRITES, StoreDiffers
from broker.store.job_store import JobStore

LOOK_S = 1.0
"""How often the layout is read, in s."""
_MOST = 1000
"""Brokers that are asked for what they can write, at most."""

_log = logging.getLogger(__name__)


class Membership:
    """Announces a broker, and watches the layout of its store.

    `differs` becomes the sentence that says why the broker cannot stay, once that is so.
    """

    def __init__(self, store: JobStore, address: str, dialect: str = "") -> None:
        self.differs: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._store = store
        self._announcement = BrokerAnnouncement(
            name=f"{socket.gethostname()}-{os.getpid()}",
            version=own_version(),
            address=address,
            since=rfc3339(round(time.time() * 1000)),
            reads=list(READS),
            writes=list(WRITES),
            dialect=dialect,
        )

    async def run(self) -> None:
        """Announce the broker and watch the layout; at the end the store forgets the broker."""
        try:
            await asyncio.gather(self._announce(), self._watch())
        finally:
            try:
                await self._store.brokers.forget(self._announcement.name)
            except TitanError:
                _log.debug("the store forgets this broker in a while by its own")

    async def _announce(self) -> None:
        while True:
            try:
                await self._store.brokers.announce(self._announcement)
                await self._raise_layout()
            except StoreUnavailable as error:
                _log.debug("not announced: %s", error)
            except TitanError as error:
                _log.warning("not announced: %s", error)
            await asyncio.sleep(EVERY_S)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._store.verify_again()
            except StoreDiffers as error:
                _log.error("leaving the store: %s", error)
                self._store.refuse(str(error))
                self.differs.set_result(str(error))
                await asyncio.Event().wait()
            except TitanError as error:
                _log.debug("the layout was not read: %s", error)

    async def _raise_layout(self) -> None:
        """Give the store the newest layout that every broker of it can write."""
        before = await self._store.layout() or 0
        after = before + 1
        if after not in WRITES:
            return
        brokers, _ = await self._store.brokers.list(_MOST)
        if _all_write(after, brokers) and await self._store.raise_layout(before, after):
            _log.info("every broker can write layout %d: the store has it now", after)


def _all_write(layout: int, brokers: list[LiveBroker]) -> bool:
    return all(layout in broker.writes for broker in brokers)
