"""Setting a store up at its first start: how many partitions it has, and which server holds which, never change."""

from broker.resp import keys
from broker.resp.replies_to_errors import spoken
from broker.resp.topology import Server, Topology


class PartitionsDiffer(Exception):
    """The store was set up with another number of partitions, or other servers."""


async def set_up(topology: Topology, prefix: str) -> None:
    """Check each server, or set it up. Raises PartitionsDiffer."""
    partitions = topology.partitions
    for number, server in enumerate(topology.all):
        is_new = await _check_partitions(server, len(partitions), prefix, partitions[number])
        if not server.is_clustered:
            await _check_place(server, f"{number + 1} of {len(topology.all)}", prefix, is_new=is_new)


def set_up_key(prefix: str, server: Server, partition: str) -> str:
    """Where a server keeps the number of partitions: in a cluster, a key of the partition's slot."""
    return f"{partition}:partitions" if server.is_clustered else keys.partitions(prefix)


async def _check_partitions(server: Server, number: int, prefix: str, partition: str) -> bool:
    """Whether the server had none yet."""
    name = set_up_key(prefix, server, partition)
    is_new = bool(await spoken(server.redis.set(name, number, nx=True)))
    kept = int(await spoken(server.redis.get(name)) or 0)
    if kept != number:
        raise PartitionsDiffer(f"the store was set up with other partitions: start with --partitions {kept}")
    return is_new


async def _check_place(server: Server, place: str, prefix: str, *, is_new: bool) -> None:
    name = keys.server(prefix)
    if is_new and place != "1 of 1":
        await spoken(server.redis.set(name, place))
    kept = await spoken(server.redis.get(name))
    was = kept.decode() if isinstance(kept, bytes) else "1 of 1"
    if was != place:
        raise PartitionsDiffer(
            f"{server.shown} was set up as server {was}, not {place}: name the same servers in the same order"
        )
