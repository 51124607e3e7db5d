"""`next` with images: one script call a partition, which reads a limited number of jobs from each queue."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from broker.core.errors import StoreUnavailable
from broker.core.ids import lease_token
from broker.resp.partitions import Partitions
from broker.store.clock import Clock
from broker.store.format.job_json import EncodedDelivery, dispatched_jobs
from broker.store.modes import Modes
from broker.store.tally import Tally

_encode = msgspec.json.Encoder().encode


class ImageDispatcher:
    """Dequeues jobs of some images only. `give_back` requeues jobs whose caller is gone; else as Dispatcher."""

    def __init__(
        self,
        partitions: Partitions,
        clock: Clock,
        tally: Tally,
        modes: Modes,
        give_back: Callable[[Sequence[EncodedDelivery]], None],
        broker: str,
        grace_ms: int,
    ) -> None:
        self._partitions = partitions
        self._clock = clock
        self._tally = tally
        self._modes = modes
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
        turn, self._turn = self._turn, self._turn + 1
        jobs: list[EncodedDelivery] = []
        fault: StoreUnavailable | None = None
        has_answer = False
        for name, here in self._partitions.round(self._partitions.rotated(turn), groups):
            lease, length = lease_token(), "" if lease_s is None else lease_s
            order = "fair" if self._modes.is_fair(name) else ""
            common = (self._clock.now, n - len(jobs), lease, length, self._grace_ms, broker)
            words = (*common, order, len(here), *here, *images)
            try:
                reply = await self._partitions.run("next_image", name, *words)
            except StoreUnavailable as error:
                fault = error
                continue
            has_answer = True
            jobs += dispatched_jobs(reply, lease, lease_s, self._grace_ms, self._tally)
            if len(jobs) == n:
                break
        if fault is not None and not has_answer:
            raise fault
        return jobs

    def _taken(self, taking: asyncio.Future[list[EncodedDelivery]]) -> None:
        if not taking.cancelled() and taking.exception() is None:
            self._give_back(taking.result())
