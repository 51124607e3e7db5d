"""The kinds of store that a run may have: the servers of each, their faults, and what a fault may lose."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.system.chaos.faults import Faults
from tests.system.chaos.scene import Scene
from tests.system.chaos.topologies.cluster import ClusterFaults, ClusterScene
from tests.system.chaos.topologies.sentinel import SentinelFaults, SentinelScene
from tests.system.chaos.topologies.servers import ServersFaults, ServersScene
from tests.system.chaos.topologies.single import SingleFaults, SingleScene


class Topology(NamedTuple):
    """How a scene is made of a folder, the server's program and the number of partitions; its faults.

    `server` is the usual kind of server. `partitions` are the least and the most that a run may have.
    """

    scene: Callable[[Path, str, int], Scene]
    faults: type[Faults[Any]]
    server: str
    partitions: tuple[int, int]


TOPOLOGIES = {
    "single": Topology(SingleScene, SingleFaults, "valkey", (1, 1)),
    "servers": Topology(ServersScene, ServersFaults, "redis", (3, 3)),
    "sentinel": Topology(SentinelScene, SentinelFaults, "redis", (1, 4)),
    "cluster": Topology(ClusterScene, ClusterFaults, "redis", (6, 6)),
}
