"""What a store says about itself: the number of its layout, of its partitions, and the version that set it up.

A broker refuses a store whose numbers differ from its own.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

from broker.core.errors import StoreUnavailable, TitanError
from broker.core.version import own_version
from broker.resp import keys
from broker.resp.replies_to_errors import repeat_refused, translate_errors
from broker.resp.topology import ClientOf, Server, Topology, topology_of
from broker.resp.url import StoreAddress

READS: tuple[int, ...] = (1, 2)
"""Layouts whose jobs this version understands. lua/README.md has the list of layouts."""
WRITES: tuple[int, ...] = (1, 2)
"""Layouts in which this version can keep a store, the newest last: an empty store gets that one."""
POLICIES = 2
"""From this layout on every broker of the store knows retry policies."""
DEADLINES = 2
"""The same for deadlines, and for jobs that are queued at a time."""
FLOWS = 2
"""The same for jobs that wait for others, and for unique keys."""
SCHEDULES = 2
"""The same for schedules."""
DEAD_LETTERS = 2
"""The same for groups that send copies of failed jobs to another group."""
GROUP_BUDGETS = 2
"""The same for rates with a time and a burst, and for max_jobs, max_bytes and priority_boost of groups."""
FAIR = 2
"""The same for groups that take turns."""


class StoreDiffers(Exception):
    """The store was set up in another way. The text is a sentence that says how, and what to do."""


class PartitionsDiffer(StoreDiffers):
    """The store was set up with another number of partitions, or with other servers."""


class LayoutDiffers(StoreDiffers):
    """The store has a layout that this version cannot work with, or data without the number of one."""


class Marks(NamedTuple):
    """What one server says about itself; None for what it does not have. `has_data`: there are jobs or groups."""

    server: Server
    layout: int | None
    partitions: int | None
    version: str
    has_data: bool
    is_own: bool = True
    """Whether the server has these keys itself. A cluster that one server was imported into has them elsewhere."""

    @property
    def is_empty(self) -> bool:
        """Whether nobody has used the server yet, or somebody has emptied it."""
        return self.is_unmarked and not self.has_data

    @property
    def is_unmarked(self) -> bool:
        """Whether the server says nothing."""
        return self.layout is None and self.partitions is None


async def read_marks(topology: Topology, prefix: str) -> list[Marks]:
    """What each server says about itself. Raises StoreUnavailable if one does not answer."""
    found, away = await read_each(topology, prefix, topology.all)
    if away:
        raise StoreUnavailable(f"{away[0].shown} does not answer.", retry_after_s=1)
    return found


async def read_each(topology: Topology, prefix: str, servers: Sequence[Server]) -> tuple[list[Marks], list[Server]]:
    """What each server says, and those that do not answer. Raises StoreUnavailable if none answers."""
    reading = [_read_marks(topology, server, prefix) for server in servers]
    found: list[Marks] = []
    away: list[Server] = []
    for server, marks in zip(servers, await asyncio.gather(*reading, return_exceptions=True), strict=True):
        if isinstance(marks, StoreUnavailable):
            away.append(server)
            fault = marks
        elif isinstance(marks, BaseException):
            raise marks
        else:
            found.append(marks)
    if not found:
        raise fault
    return await _with_outside(topology, prefix, found), away


async def _with_outside(topology: Topology, prefix: str, found: list[Marks]) -> list[Marks]:
    """Give servers of a cluster that say nothing what the cluster has outside its partitions."""
    if topology.client_of is None or not any(marks.is_unmarked for marks in found):
        return found
    outside = await _read_outside(topology.client_of, prefix)
    if not any(outside):
        return found
    return [
        _marks_of(marks.server, outside, has_data=marks.has_data, is_own=False) if marks.is_unmarked else marks
        for marks in found
    ]


async def kept_partitions(addresses: Sequence[StoreAddress], prefix: str, timeout_s: float) -> int | None:
    """The number of partitions that the store at these addresses was set up with; None if it is new.

    The first server that answers and has a number knows it. Raises StoreUnavailable if none has one, and one does not
    answer.
    """
    topology = topology_of(addresses, prefix, len(addresses), timeout_s, 1)
    fault: TitanError | None = None
    try:
        for server in topology.all:
            try:
                alone = Topology([server], topology.partitions_of(server), topology.client_of)
                [marks] = await read_marks(alone, prefix)
            except TitanError as error:
                fault = error
                continue
            if marks.partitions is not None:
                return marks.partitions
    finally:
        await topology.close()
    if fault is not None:
        raise fault
    return None


async def _read_marks(topology: Topology, server: Server, prefix: str) -> Marks:
    partitions = topology.partitions_of(server)

    async def ask() -> list[bytes | None]:
        pipe = server.redis.pipeline(transaction=False)
        for name in mark_keys(scope_of(topology, server, prefix)):
            pipe.get(name)
        return cast("list[bytes | None]", await pipe.execute())

    values = await translate_errors(repeat_refused(ask))
    has_data = False
    if values[0] is None:
        names = [name for p in partitions for name in (keys.groups(p), keys.jobs(p))]
        has_data = any([bool(await translate_errors(server.redis.exists(name))) for name in names])
    return _marks_of(server, values, has_data=has_data)


async def _read_outside(client_of: ClientOf, prefix: str) -> list[bytes | None]:
    """The values that a cluster has outside its partitions, if one server was imported into it; each has its slot."""
    values: list[bytes | None] = []
    for name in mark_keys(prefix):
        async with client_of(name) as client:
            values.append(cast("bytes | None", await translate_errors(client.get(name))))
    return values


def _marks_of(server: Server, values: list[bytes | None], *, has_data: bool, is_own: bool = True) -> Marks:
    layout, number, version = values
    return Marks(
        server, number_of(layout), number_of(number), (version or b"").decode("utf-8", "replace"), has_data, is_own
    )


def mark_keys(scope: str) -> tuple[str, str, str]:
    """The keys of layout, number of partitions and version."""
    return keys.layout(scope), keys.partitions(scope), keys.version(scope)


def scope_of(topology: Topology, server: Server, prefix: str) -> str:
    """The first part of these keys: in a cluster they are in the slot of the partition."""
    return topology.partitions_of(server)[0] if server.is_clustered else prefix


def check_marks(marks: Marks, partitions: int | None, layouts: Iterable[int]) -> None:
    """Compare what a server says with what we are; `partitions` None: any number. Raises StoreDiffers."""
    if marks.layout is not None and marks.layout not in layouts:
        raise LayoutDiffers(_other_layout(marks, layouts))
    if marks.layout is None and (marks.partitions is not None or marks.has_data):
        raise LayoutDiffers(
            f"{marks.server.shown} has jobs of a layout without a number, as first builds had: nothing was touched. "
            "Stop brokers of those builds and run `titan migrate`, or use another --key-prefix."
        )
    if partitions is not None:
        check_partitions(marks, partitions)


def check_partitions(marks: Marks, partitions: int) -> None:
    """Compare a server's number of partitions with ours; an unknown one is right. Raises PartitionsDiffer."""
    if marks.partitions not in {None, partitions}:
        raise PartitionsDiffer(
            f"The store was set up with {marks.partitions} partitions, not {partitions}: leave --partitions out, or "
            f"give --partitions {marks.partitions}."
        )


def _other_layout(marks: Marks, layouts: Iterable[int]) -> str:
    ours = " and ".join(map(str, layouts))
    text = (
        f"{marks.server.shown} has layout {marks.layout}, and Titan {own_version()} works with layout {ours}: "
        "nothing was touched."
    )
    if marks.layout is not None and marks.layout > max(layouts):
        which = f"Titan {marks.version} or newer" if marks.version else "a newer version of Titan"
        return f"{text} Start {which}, or use another --key-prefix."
    return f"{text} Run `titan migrate`, or use another --key-prefix."


async def lowest_marks(topology: Topology, prefix: str) -> Marks:
    """The marks of the server with the lowest layout: servers differ while a layout is raised."""
    return lowest(await read_marks(topology, prefix))


def lowest(found: Iterable[Marks]) -> Marks:
    """Those with the lowest layout."""
    return min(
        found,
        key=lambda marks: (marks.is_empty, -1 if marks.layout is None else marks.layout),
    )


def number_of(value: bytes | None) -> int | None:
    """The number that a key has; -1 for any other text."""
    if value is None:
        return None
    return int(value) if value.isdigit() else -1
