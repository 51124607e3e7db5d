"""What a broker must know of groups before it creates or dispatches jobs: P:modes of each partition, read every 5 s.

A broker that does not know a new setting yet acts as before it: later, never wrong. Its own changes hold at once.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from broker.core.errors import TitanError
from broker.models.groups import Group
from broker.models.jobs import NewJob, PlainJob
from broker.resp import keys
from broker.resp.partitions import Partitions
from broker.store.format.ranks import NO_BOOSTS
from broker.store.group_limits import GroupLimits

EVERY_S = 5.0
"""The time between two looks, in s."""
ORDER = "order"
"""The field that a partition has while its groups take turns."""
_PREFIX = "group:"
_log = logging.getLogger(__name__)


class Mode(Struct, frozen=True, omit_defaults=True):
    """What a group says of its new jobs. `start_within`: s; the limits are of its unfinished jobs."""

    start_within: int | None = None
    max_jobs: int | None = None
    max_bytes: int | None = None
    priority_boost: int | None = None
    fair_keys: bool | None = None

    def limits(self, of_broker: GroupLimits) -> GroupLimits:
        """The limits of the group, in place of those of the broker."""
        return GroupLimits(self.max_jobs or of_broker.jobs, self.max_bytes or of_broker.bytes)


NO_MODE = Mode()
"""That of a group that says nothing."""
_mode = msgspec.json.Decoder(Mode).decode


class Modes:
    """What groups say of their new jobs, most of them nothing; and the partitions whose groups take turns."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions
        self._modes: dict[str, Mode] = {}
        self._fair: set[str] = set()

    def note(self, group: str, mode: Mode) -> None:
        """Take what a group says now."""
        if mode == NO_MODE:
            self._modes.pop(group, None)
        else:
            self._modes[group] = mode

    def of(self, group: str) -> Mode:
        """What the group says of its new jobs."""
        return self._modes.get(group, NO_MODE)

    @property
    def are_none(self) -> bool:
        """Whether no group says anything."""
        return not self._modes

    def any_of(self, groups: Iterable[str]) -> Mapping[str, Mode]:
        """What those of these groups say that say anything, by name."""
        return {name: self._modes[name] for name in groups if name in self._modes}

    def start_within(self, group: str) -> int | None:
        """The default of a group for its new jobs, in s."""
        return self.of(group).start_within

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
            kept = {name: mode for name, mode in self._modes.items() if self._partitions.of(name) != p}
            self._modes = kept | read

    async def run(self) -> None:
        """Read again and again."""
        while True:
            try:
                await self.read()
            except TitanError as error:
                _log.debug("the defaults of groups were not read: %s", error)
            await asyncio.sleep(EVERY_S)


def boosts_of(modes: Mapping[str, Mode]) -> Mapping[str, int]:
    """The priority_boost of each group that has one."""
    return {name: mode.priority_boost for name, mode in modes.items() if mode.priority_boost} if modes else NO_BOOSTS


def mode_of(group: Group) -> Mode:
    """What brokers must know of a group before they create jobs there."""
    return Mode(**{name: getattr(group, name) or None for name in Mode.__struct_fields__})


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


def _groups(fields: Mapping[str, bytes]) -> list[tuple[str, Mode]]:
    return [(name.removeprefix(_PREFIX), _mode(text)) for name, text in fields.items() if name.startswith(_PREFIX)]
