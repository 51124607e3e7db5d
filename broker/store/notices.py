"""Notices to workers: orders, and cancels of running jobs.

The scripts number the notices and keep the newest in the store. While workers wait at this broker, it reads new notices
twice a second, once for all workers: the cost does not depend on the number of workers, jobs or leases.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

from broker.core.errors import TitanError
from broker.core.ids import lease_token
from broker.models.workers import Order
from broker.resp.partitions import Partitions

LOOK_S = 0.5
MOST = 10_000
"""Notices that a broker remembers, for workers that ask again."""


class Heard(NamedTuple):
    """The notices for one worker: ids of cancelled jobs, and an order with its number.

    `seen`: the position of the last notice; `has_gap`: notices before it may be missing.
    """

    seen: str
    cancelled: Sequence[str] = ()
    number: int = 0
    order: Order | None = None
    has_gap: bool = False


class _Notice(NamedTuple):
    number: int
    words: list[str]


class Notices:
    """The notices that this broker has read, and the workers that wait for more."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions
        self._broker = lease_token()
        self._kept: deque[_Notice] = deque(maxlen=MOST)
        self._number = 0
        self._gap = 0
        """Some notices before this number were not read."""
        self._newest: list[int | None] = [None] * len(partitions.names)
        """For each partition the number of the last notice that was read; None before the first read."""
        self._waiting: set[asyncio.Event] = set()
        self._looking: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._stops = 0

    async def hear(self, worker: str, seen: str, reaches: Callable[[str], bool], wait_s: float) -> Heard:
        """Wait for a notice after `seen` for the worker: an order, or a cancel in a group that it `reaches`.

        A `seen` that is too old or of another broker is answered at once, and may raise StoreUnavailable.
        """
        since, stops = self._since(seen), self._stops
        if since is None:
            if None in self._newest:  # later notices must be recognized as new
                await self.look()
            return Heard(self._mark, has_gap=True)
        with self._listening() as changed, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while stops == self._stops:
                    if heard := self._heard(worker, since, reaches):
                        return heard
                    since = self._number
                    changed.clear()
                    await changed.wait()
        return Heard(self._mark)

    async def look(self) -> None:
        """Read new notices and wake the workers that wait. Raises StoreUnavailable if no partition answers."""
        async with self._turn:
            arguments = [["" if number is None else number] for number in self._newest]
            replies = await self._partitions.run_where("notices", self._partitions.names, arguments)
            faults = [reply for reply in replies if isinstance(reply, TitanError)]
            if len(faults) == len(replies):
                raise faults[0]
            self._read(replies)

    @property
    def is_awaited(self) -> bool:
        """Whether a worker waits."""
        return bool(self._waiting)

    def stop(self) -> None:
        """Answer every worker that waits now."""
        self._stops += 1
        self._wake()

    def _read(self, replies: Sequence[Any]) -> None:
        before = self._number
        for i, reply in enumerate(replies):
            if isinstance(reply, TitanError):  # read later what this partition has
                continue
            newest, *texts = reply
            known = self._newest[i]
            self._newest[i] = newest
            for text in texts:
                self._number += 1
                self._kept.append(_Notice(self._number, text.decode().split(" ")))
            if known is not None and newest - known != len(texts):  # the store has lost some, or there were too many
                self._number += 1
                self._gap = self._number
        if self._number != before:
            self._wake()

    @property
    def _mark(self) -> str:
        return f"{self._broker}-{self._number}"

    def _since(self, seen: str) -> int | None:
        """The number in `seen`; None if it is too old or of another broker."""
        broker, _, number = seen.partition("-")
        if broker != self._broker or not number.isdecimal():
            return None
        since, first = int(number), self._kept[0].number if self._kept else 0
        return since if first - 1 <= since <= self._number and since >= self._gap else None

    def _heard(self, worker: str, since: int, reaches: Callable[[str], bool]) -> Heard | None:
        """The notices after a number for the worker, if any."""
        cancelled: list[str] = []
        number, order = 0, None
        for notice in reversed(self._kept):
            if notice.number <= since:
                break
            kind, whose, what, *rest = notice.words
            if kind == "cancelled" and reaches(whose):
                cancelled.append(what)
            elif kind == "order" and whose == worker and order is None:
                number, order = int(what), rest[0]
        has_gap = self._gap > since
        return (
            Heard(self._mark, cancelled, number, cast("Order | None", order), has_gap)
            if cancelled or order or has_gap
            else None
        )

    @contextlib.contextmanager
    def _listening(self) -> Iterator[asyncio.Event]:
        changed = asyncio.Event()
        self._waiting.add(changed)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_while_anyone_waits())
        try:
            yield changed
        finally:
            self._waiting.discard(changed)

    async def _look_while_anyone_waits(self) -> None:
        while self._waiting:
            with contextlib.suppress(TitanError):  # the store is away: the next look finds what this one missed
                await self.look()
            await asyncio.sleep(LOOK_S)

    def _wake(self) -> None:
        for changed in self._waiting:
            changed.set()
