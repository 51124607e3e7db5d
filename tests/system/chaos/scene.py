"""The programs of a run: the servers of a store, and two brokers. A topology says which servers, and what they form."""

import asyncio
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from redis.exceptions import RedisError

from broker.resp.keys import partition_of
from tests.system.chaos.node import Node, broker_words, free_ports, run_program

PREFIX = "chaos"
Found = TypeVar("Found")
LIMIT_S = 60.0
"""How long the run waits for servers to be as they should, in s."""


class Scene(ABC):
    """Everything stands in one folder. `urls` are the brokers' addresses, which stay when they are started again.

    `groups` has the groups of each partition. `store_url` is what brokers are given as --redis-url.
    """

    def __init__(self, folder: Path, program: str, partitions: int, groups_each: int = 2) -> None:
        self.folder = folder
        self.program = program
        self.partitions = partitions
        self.groups = groups_of(partitions, groups_each)
        self.urls = [f"http://127.0.0.1:{port}" for port in free_ports(2)]
        self.nodes: list[Node] = []
        self.exits: list[float] = []
        self.bad_exits: list[int] = []
        self._brokers: list[subprocess.Popen[bytes] | None] = [None, None]

    @property
    @abstractmethod
    def store_url(self) -> str:
        """The address of the store, for brokers."""

    @abstractmethod
    def holders(self) -> list[tuple[Node, range]]:
        """The servers that may have leases now, each with the partitions to look for."""

    async def form(self) -> None:  # noqa: B027 - servers that know nothing of each other need nothing
        """Make one store of the servers, which answer already."""

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Everything runs inside the block, and nothing after it."""
        try:
            for node in self.nodes:
                node.start()
            for node in self.nodes:
                await self.answers(node)
            await self.form()
            for number in range(2):
                self.start_broker(number)
            yield
        finally:
            for program in self._brokers:
                if program is not None:
                    program.kill()
                    program.wait()
            self.end_servers()

    def figures(self) -> dict[str, int]:
        """What the servers know of the run."""
        return {}

    def end_servers(self) -> None:
        """Kill the servers."""
        for node in self.nodes:
            node.end()

    async def answers(self, node: Node) -> None:
        """Wait until a server takes commands."""
        await until("a server answers", lambda: node.ask("PING"))

    def start_broker(self, number: int) -> None:
        """Start a broker at its address; returns before it listens."""
        port = self.urls[number].rpartition(":")[2]
        words = broker_words(port, self.store_url, PREFIX, self.partitions, self.folder)
        self._brokers[number] = run_program(words, self.folder, f"broker-{number}")

    def runs(self, number: int) -> bool:
        """True while the broker's process is there."""
        program = self._brokers[number]
        return program is not None and program.poll() is None

    def log_of(self, number: int) -> str:
        """The last lines of a broker's log."""
        return "".join((self.folder / f"broker-{number}.log").read_text().splitlines(keepends=True)[-20:])

    def kill_broker(self, number: int) -> None:
        """Kill -9."""
        program = self._brokers[number]
        assert program is not None
        program.kill()
        program.wait()

    async def stop_broker(self, number: int) -> None:
        """SIGTERM; how long it takes and its exit code are noted."""
        program = self._brokers[number]
        assert program is not None
        began = time.monotonic()
        program.terminate()
        code = await asyncio.to_thread(program.wait, 30)
        self.exits.append(time.monotonic() - began)
        if code:
            self.bad_exits.append(code)


def groups_of(partitions: int, each: int) -> list[list[str]]:
    """For each partition the names of so and so many groups that it holds."""
    found: list[list[str]] = [[] for _ in range(partitions)]
    number = 0
    while any(len(groups) < each for groups in found):
        name = f"chaos-{number}"
        groups = found[partition_of(name, partitions)]
        if len(groups) < each:
            groups.append(name)
        number += 1
    return found


class SceneStuck(Exception):
    """Servers or brokers are not as they should be, and the run cannot continue. The message has what is missing."""


async def until(what: str, holds: Callable[[], Found], limit_s: float = LIMIT_S) -> Found:
    """Wait for a result that is true, and return it; an error of a server counts as none. Raises SceneStuck."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        with suppress(RedisError, OSError, LookupError):
            if found := await asyncio.to_thread(holds):
                return found
        await asyncio.sleep(0.05)
    raise SceneStuck(f"waited {limit_s:g} s in vain: {what}")


def options_with(kept: Mapping[str, str], **more: str) -> dict[str, str]:
    """Options of a server; underscores in names are hyphens."""
    return dict(kept) | {name.replace("_", "-"): value for name, value in more.items()}
