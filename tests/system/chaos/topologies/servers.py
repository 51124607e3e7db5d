"""Three servers with a partition each. A fault hits one of them; nothing may be lost, and the others continue."""

from pathlib import Path
from typing import ClassVar

from tests.system.chaos.node import KEPT, Node, free_ports
from tests.system.chaos.scene import Scene, options_with
from tests.system.chaos.topologies.single import StoreFaults


class ServersScene(Scene):
    """A server for each partition; they know nothing of each other."""

    def __init__(self, folder: Path, program: str, partitions: int) -> None:
        super().__init__(folder, program, partitions)
        options = options_with(KEPT, busy_reply_threshold="200")
        ports = free_ports(partitions)
        self.nodes = [Node(folder / f"server-{i}", program, port, options) for i, port in enumerate(ports)]

    @property
    def store_url(self) -> str:
        return ",".join(f"redis://127.0.0.1:{node.port}/0" for node in self.nodes)

    def holders(self) -> list[tuple[Node, range]]:
        return [(node, range(number, number + 1)) for number, node in enumerate(self.nodes)]


class ServersFaults(StoreFaults[ServersScene]):
    """The faults of one server, for one of three."""

    noun: ClassVar[str] = "server"
