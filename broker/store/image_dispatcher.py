"""`next` with images: one script call a partition, which reads a limited number of jobs from each queue."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from broker.core.errors import TitanError
from broker.core.ids import lease_token
from broker.resp.partitions import Partitions
from broker.store.clock import Clock
from broker.store.format.job_json import EncodedDelivery, dispatched_jobs

_encode = msgspec.json.Encoder().encode


class ImageDispatcher:
    """Dequeues jobs of some images only. `give_back` requeues jobs whose caller is gone; else as Dispatcher."""

    def __init__(
        self,
        partitions: Partitions,
        clock: Clock,
        give_back: Callable[[Sequence[EncodedDelivery]], None],
        broker: str,
        grace_ms: int,
    ) -> None:
        self._partitions = partitions
        self._clock = clock
        self._give_back = give_back
        self._broker = broker
        self._grace_ms = grace_ms
        self._turn = 0

    async def next(
        self, n: int, groups: Sequence[str], lease_s: int | None, images: Sequence[str], *, waits: bool
    ) -> list[EncodedDelivery]:
        """The first jobs of these images, n at most; partitions are asked in turn.

        `waits`: if there are no jobs, the store notifies this broker of later ones.
        """
        names, broker = [_encode(image).decode() for image in images], self._broker if waits else ""
        taking = asyncio.ensure_future(self._next(n, groups, lease_s, names, broker))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(self._taken)
            raise

    async def _next(
        self, n: int, groups: Sequence[str], lease_s: int | None, images: Sequence[str], broker: str
    ) -> list[EncodedDelivery]:
        turn, self._turn = self._turn, (self._turn + 1) % len(self._partitions.names)
        jobs: list[EncodedDelivery] = []
        for name, here in self._partitions.round(turn, groups):
            lease, length = lease_token(), "" if lease_s is None else lease_s
            words = (self._clock.now, n - len(jobs), lease, length, self._grace_ms, broker, len(here), *here, *images)
            try:
                reply = await self._partitions.run("next_image", name, *words)
            except TitanError:
                if not jobs:
                    raise
                break
            jobs += dispatched_jobs(reply, lease, lease_s, self._grace_ms)
            if len(jobs) == n:
                break
        return jobs

    def _taken(self, taking: asyncio.Future[list[EncodedDelivery]]) -> None:
        if not taking.cancelled() and taking.exception() is None:
            self._give_back(taking.result())
