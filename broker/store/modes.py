"""What a broker must know of groups before it creates or dispatches jobs: P:modes of each partition, read every 5 s.

A broker that does not know a new setting yet acts as before it: later, never wrong. Its own changes hold at once.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from broker.core.errors import TitanError
from broker.models.jobs import NewJob, PlainJob
from broker.resp import keys
from broker.resp.partitions import Partitions

EVERY_S = 5.0
"""The time between two looks, in s."""
ORDER = "order"
"""The field that a partition has while its groups take turns."""
_PREFIX = "group:"
_log = logging.getLogger(__name__)


class _Mode(Struct, frozen=True):
    start_within: int | None = None


_mode = msgspec.json.Decoder(_Mode).decode


class Modes:
    """The groups whose new jobs get `start_within` from their group, and the partitions whose groups take turns."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions
        self._start_within: dict[str, int] = {}
        self._fair: set[str] = set()

    def note(self, group: str, start_within_s: int | None) -> None:
        """Take a setting of a group as it is now; None: it has none."""
        if start_within_s is None:
            self._start_within.pop(group, None)
        else:
            self._start_within[group] = start_within_s

    def start_within(self, group: str) -> int | None:
        """The default of a group for its new jobs, in s."""
        return self._start_within.get(group)

    def note_order(self, partition: str, *, is_fair: bool) -> None:
        """Take the order of a partition as it is now."""
        if is_fair:
            self._fair.add(partition)
        else:
            self._fair.discard(partition)

    def is_fair(self, partition: str) -> bool:
        """Whether the groups of a partition take turns."""
        return partition in self._fair

    async def read(self) -> None:
        """Read what the store has of all groups. Raises StoreUnavailable, and then keeps what it has of the others."""
        for p in self._partitions.names:
            [found] = await self._partitions.read(p, [("HGETALL", keys.modes(p))])
            fields = _fields(found)
            self.note_order(p, is_fair=ORDER in fields)
            read = dict(_groups(fields))
            kept = {name: s for name, s in self._start_within.items() if self._partitions.of(name) != p}
            self._start_within = kept | read

    async def run(self) -> None:
        """Read again and again."""
        while True:
            try:
                await self.read()
            except TitanError as error:
                _log.debug("the defaults of groups were not read: %s", error)
            await asyncio.sleep(EVERY_S)


def with_default(jobs: Sequence[PlainJob], start_within_s: int | None) -> Sequence[PlainJob]:
    """The jobs with this `start_within`, but for those that say themselves by when they must start."""
    return jobs if start_within_s is None else [_with_default(job, start_within_s) for job in jobs]


def _with_default(job: PlainJob, start_within_s: int) -> NewJob:
    if not isinstance(job, NewJob):
        return NewJob(**msgspec.structs.asdict(job), start_within=start_within_s)
    if job.start_within is not None or job.start_before is not None:
        return job
    return msgspec.structs.replace(job, start_within=start_within_s)


def _fields(found: Any) -> dict[str, bytes]:
    pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
    return {name.decode(): text for name, text in pairs}


def _groups(fields: Mapping[str, bytes]) -> Iterator[tuple[str, int]]:
    for name, text in fields.items():
        if name.startswith(_PREFIX) and (start_within_s := _mode(text).start_within) is not None:
            yield name.removeprefix(_PREFIX), start_within_s
