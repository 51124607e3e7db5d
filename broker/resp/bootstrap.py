"""Records the number of partitions and the order of servers in a new store, and checks both at each start.

Neither may change later: jobs would be looked for on the wrong server.
"""

from broker.resp import keys
from broker.resp.replies_to_errors import translate_errors
from broker.resp.topology import Server, Topology


class PartitionsDiffer(Exception):
    """The store was created with another number of partitions, or with other servers."""


async def set_up(topology: Topology, prefix: str) -> None:
    """Check each server; write the records of a new one. Raises PartitionsDiffer."""
    partitions = topology.partitions
    for number, server in enumerate(topology.all):
        is_new = await _check_partitions(server, len(partitions), prefix, partitions[number])
        if not server.is_clustered:
            await _check_order(server, f"{number + 1} of {len(topology.all)}", prefix, is_new=is_new)


def set_up_key(prefix: str, server: Server, partition: str) -> str:
    """The key in which a server keeps the number of partitions. In a cluster it is in the partition's slot."""
    return f"{partition}:partitions" if server.is_clustered else keys.partitions(prefix)


async def _check_partitions(server: Server, number: int, prefix: str, partition: str) -> bool:
    """Compare the number with the record; whether the server had no record yet."""
    name = set_up_key(prefix, server, partition)
    is_new = bool(await translate_errors(server.redis.set(name, number, nx=True)))
    kept = int(await translate_errors(server.redis.get(name)) or 0)
    if kept != number:
        raise PartitionsDiffer(f"the store was set up with other partitions: start with --partitions {kept}")
    return is_new


async def _check_order(server: Server, position: str, prefix: str, *, is_new: bool) -> None:
    name = keys.server(prefix)
    if is_new and position != "1 of 1":
        await translate_errors(server.redis.set(name, position))
    kept = await translate_errors(server.redis.get(name))
    was = kept.decode() if isinstance(kept, bytes) else "1 of 1"
    if was != position:
        raise PartitionsDiffer(
            f"{server.shown} was set up as server {was}, not {position}: name the same servers in the same order"
        )
