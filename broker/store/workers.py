"""The workers of a store: kept in its first partition, each for a minute after its last heartbeat."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from broker.core.errors import NotFound
from broker.core.events import event
from broker.core.timestamps import rfc3339
from broker.models.workers import ENDING, KEPT_S, MAX_WORKERS, Announcement, Departed, Order, Orders, Worker
from broker.resp import keys
from broker.resp.partitions import Partitions
from broker.store.clock import Clock
from broker.store.notices import Notices
from broker.store.tally import Tally

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_said = msgspec.json.Decoder(Announcement).decode


class Workers:
    """Workers by name. Any method may raise StoreUnavailable.

    `grace_s`: how long after its timeout a job with a short lease may still be touched, s.
    """

    def __init__(self, partitions: Partitions, clock: Clock, tally: Tally, grace_s: float) -> None:
        self.notices = Notices(partitions)
        self._clock = clock
        self._tally = tally
        self._known: set[str] = set()
        self._grace_s = grace_s
        self._partitions = partitions
        self._partition = partitions.names[0]

    async def announce(self, worker: Announcement) -> Orders:
        """Store the heartbeat of a worker; its pending order. Raises LimitReached if there are too many workers."""
        said = "" if worker.state == ENDING else _encode(worker).decode()
        arguments = (worker.name, said, worker.done, KEPT_S * 1000, MAX_WORKERS)
        reply = await self._partitions.run("announce", self._partition, self._clock.now, *arguments)
        self._note(worker)
        number, order = (int(reply[0]), reply[1].decode()) if reply else (0, UNSET)
        return Orders(number=number, order=order, stop_grace_s=self._grace_s)

    def _note(self, worker: Announcement) -> None:
        """Note an event at the first heartbeat of a worker at this broker, and when the worker stops."""
        if worker.state == ENDING:
            self._known.discard(worker.name)
            self._tally.noted("worker_gone", "", (worker.name,))
            _log.info("the worker %s stops", worker.name, extra=event("worker.gone", worker=worker.name))
        elif worker.name not in self._known:
            if len(self._known) >= MAX_WORKERS:
                self._known.clear()
            self._known.add(worker.name)
            self._tally.noted("worker_seen", "", (worker.name,))
            _log.info("the worker %s is here", worker.name, extra=event("worker.seen", worker=worker.name))

    async def hear(self, name: str, seen: str, reaches: Callable[[str], bool], wait_s: float) -> Orders:
        """Wait for an order to the worker, or for a running job of a group that it `reaches` to be cancelled."""
        heard = await self.notices.hear(name, seen, reaches, wait_s)
        return Orders(
            number=heard.number,
            order=heard.order or UNSET,
            stop_grace_s=self._grace_s,
            seen=heard.seen,
            cancelled=list(heard.cancelled) or UNSET,
            has_gap=heard.has_gap or UNSET,
        )

    async def order(self, name: str, order: Order) -> Worker:
        """Store an order for the worker, which gets it with its next announcement. Raises NotFound."""
        return _worker(await self._partitions.run("order", self._partition, name, order))

    async def departed(self) -> Sequence[Departed]:
        """The workers that stopped in the last minute, a hundred at most."""
        [values] = await self._partitions.read(self._partition, [("HVALS", keys.departed(self._partition))])
        pairs = [value.partition(b" ") for value in values]
        return [Departed(_said(said), int(at)) for at, _, said in pairs]

    async def show(self, name: str) -> Worker:
        """One worker. Raises NotFound."""
        rows = await self._partitions.run("workers", self._partition, 1, "", name)
        if not rows:
            raise NotFound("There is no such worker, or it was silent for too long.")
        return _worker(rows[0])

    async def list(self, n: int, after: str = "") -> tuple[list[Worker], str]:
        """A page of the workers by name, and the name after which the list continues, '' at the end."""
        rows = await self._partitions.run("workers", self._partition, n + 1, after, "")
        found = [_worker(row) for row in rows[:n]]
        return found, found[-1].name if len(rows) > n else ""


def _worker(row: Sequence[Any]) -> Worker:
    seen_at, said, order = row
    worker = _said(said)
    return Worker(
        name=worker.name,
        host=worker.host,
        version=worker.version,
        runner=worker.runner,
        state=worker.state,
        slots=worker.slots,
        busy=worker.busy,
        running=worker.running,
        groups=worker.groups,
        images=worker.images,
        since=worker.since or UNSET,
        finished=worker.finished if worker.since else UNSET,
        failed=worker.failed if worker.since else UNSET,
        seen_at=rfc3339(int(seen_at)),
        order=order.decode() if order else UNSET,
    )
