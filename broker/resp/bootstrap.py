"""Sets up a store at its first start, and checks it at every other one.

Its marks are written once. A broker refuses a store whose marks differ from its own, and touches nothing there: it
would not find the jobs, or would destroy them.
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from redis.exceptions import WatchError

from broker.core.version import own_version
from broker.resp import keys
from broker.resp.marks import (
    READS,
    WRITES,
    Marks,
    PartitionsDiffer,
    check_marks,
    mark_keys,
    number_of,
    read_each,
    read_marks,
    scope_of,
)
from broker.resp.replies_to_errors import translate_errors
from broker.resp.topology import Server, Topology


async def set_up(topology: Topology, prefix: str) -> list[Server]:
    """Check every server, then set up those that are empty; the servers that do not answer.

    Raises PartitionsDiffer, LayoutDiffers, StoreUnavailable if no server answers.
    """
    found, away = await read_each(topology, prefix, topology.all)
    for marks in found:
        check_marks(marks, len(topology.partitions), WRITES)
    for marks in found:
        if marks.is_empty or not marks.is_own:
            await _write_marks(topology, marks.server, prefix, marks.layout or WRITES[-1])
    here = [marks.server for marks in found]
    for after in (await read_each(topology, prefix, here))[0]:  # another broker may have been first
        check_marks(after, len(topology.partitions), WRITES)
    for marks in found:
        await _check_order(topology, marks, prefix)
    return away


async def verify(topology: Topology, prefix: str, layouts: Iterable[int] = READS) -> None:
    """Check every server and write nothing; an empty one is right. Raises PartitionsDiffer, LayoutDiffers."""
    for marks in await read_marks(topology, prefix):
        check_marks(marks, len(topology.partitions), layouts)


async def set_up_again(topology: Topology, prefix: str, servers: Sequence[Server] = ()) -> list[Server]:
    """Check servers, without a list all, while a broker runs; those that were empty, and were set up again.

    A server that somebody emptied has nothing but what brokers wrote since then, so it gets this broker's numbers. A
    server that is held and is right is admitted. Raises PartitionsDiffer, LayoutDiffers, StoreUnavailable if no server
    answers.
    """
    found, _ = await read_each(topology, prefix, servers or topology.all)
    emptied = [marks for marks in found if marks.is_unmarked]
    for marks in found:
        if topology.is_held(marks.server) or marks not in emptied:
            check_marks(marks, len(topology.partitions), WRITES)
    for marks in emptied:
        await _write_marks(topology, marks.server, prefix, WRITES[-1])
    for marks in found:
        if topology.is_held(marks.server):
            await _check_order(topology, marks, prefix)
            topology.admit(marks.server)
    return [marks.server for marks in emptied]


async def raise_layout(topology: Topology, prefix: str, before: int | None, after: int) -> bool:
    """Give every server the next layout's number, if it still has the one before; whether any was changed."""
    changed = False
    for marks in await read_marks(topology, prefix):
        layout, partitions, version = mark_keys(scope_of(topology, marks.server, prefix))
        own_before = before if marks.is_own else None
        values = {layout: after, partitions: len(topology.partitions), version: own_version()}
        changed |= await translate_errors(_compare_and_set(marks.server, own_before, values))
    return changed


async def _compare_and_set(server: Server, before: int | None, values: dict[str, Any]) -> bool:
    """Set the keys, if the first one has the value before."""
    name = next(iter(values))
    async with server.redis.pipeline() as pipe:
        await pipe.watch(name)
        if number_of(cast("bytes | None", await pipe.get(name))) != before:
            return False
        pipe.multi()  # type: ignore[no-untyped-call]
        for key, value in values.items():
            pipe.set(key, value)
        try:
            await pipe.execute()
        except WatchError:
            return False
    return True


async def _write_marks(topology: Topology, server: Server, prefix: str, number: int) -> None:
    layout, partitions, version = mark_keys(scope_of(topology, server, prefix))
    for name, value in ((layout, number), (version, own_version()), (partitions, len(topology.partitions))):
        await translate_errors(server.redis.set(name, value, nx=True))


async def _check_order(topology: Topology, marks: Marks, prefix: str) -> None:
    """Compare the position of a server among the others with the one that it was set up with."""
    server, name = marks.server, keys.server(prefix)
    if server.is_clustered:
        return
    position = f"{topology.all.index(server) + 1} of {len(topology.all)}"
    if marks.is_empty and position != "1 of 1":
        await translate_errors(server.redis.set(name, position))
    kept = await translate_errors(server.redis.get(name))
    was = kept.decode() if isinstance(kept, bytes) else "1 of 1"
    if was != position:
        raise PartitionsDiffer(
            f"{server.shown} was set up as server {was}, not {position}: name the same servers in the same order."
        )
