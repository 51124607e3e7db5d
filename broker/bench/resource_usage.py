"""Measures CPU of the brokers, of the store and of the load generator, and the memory of the store."""

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from broker.bench.http_client import BenchFailed
from broker.resp.client import connect
from broker.resp.replies_to_errors import translate_errors
from broker.resp.url import without_password

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STORE_TIMEOUT_S = 5.0
_SCRIPTS = ("evalsha", "eval", "fcall")


class Costs(NamedTuple):
    """CPU time in s between two readings; None if it cannot be read."""

    front_s: float | None
    store_s: float | None
    client_s: float


class CommandUsage(NamedTuple):
    """Number of calls of a command in the store, and its total time in µs."""

    calls: int
    us: int


class Meters:
    """Reads CPU and memory: of brokers by process id, of the store by its INFO command."""

    def __init__(self, front_pids: Sequence[int]) -> None:
        self._info_of: Callable[[str], Awaitable[Any]] | None = None
        self._front_pids = front_pids
        self._before = Costs(None, None, 0.0)

    @property
    def has_store(self) -> bool:
        """Whether the store can be measured."""
        return self._info_of is not None

    @asynccontextmanager
    async def store(self, url: str) -> AsyncIterator[None]:
        """Measure the store at this URL inside the block; "" for no store. Raises BenchFailed for an invalid URL."""
        if not url:
            yield
            return
        try:
            redis = connect(url, _STORE_TIMEOUT_S, 1)
        except ValueError as error:
            raise BenchFailed(f"{without_password(url)} is not the address of a store: {error}") from error
        self._info_of = redis.info
        try:
            yield
        finally:
            await redis.aclose()

    async def begin(self) -> None:
        """Take the first reading. Raises BenchFailed for a process that does not exist, StoreUnavailable."""
        self._before = await self._read()

    async def costs(self) -> Costs:
        """The CPU time since `begin`."""
        before, after = self._before, await self._read()
        return Costs(
            front_s=_difference(after.front_s, before.front_s),
            store_s=_difference(after.store_s, before.store_s),
            client_s=after.client_s - before.client_s,
        )

    async def memory_bytes(self) -> int:
        """Memory in use by the store, without the buffers of its connections and of its append-only file."""
        memory = await self._section("memory")
        buffers = ("mem_clients_normal", "mem_clients_slaves", "mem_aof_buffer")
        return int(memory["used_memory"]) - sum(int(memory.get(name, 0)) for name in buffers)

    async def commands(self) -> dict[str, CommandUsage]:
        """The usage of each command since the start of the store, by name; all scripts together are `script`."""
        found: dict[str, CommandUsage] = {}
        for key, value in (await self._section("commandstats")).items():
            name = key.removeprefix("cmdstat_")
            name = "script" if name in _SCRIPTS else name
            before = found.get(name, CommandUsage(0, 0))
            found[name] = CommandUsage(before.calls + int(value["calls"]), before.us + int(value["usec"]))
        return found

    async def version(self) -> str:
        """Name, version and persistence of the store: 'Valkey 9.1.2, append-only file'."""
        about = await self._section("server") | await self._section("persistence")
        name = "Valkey" if "valkey_version" in about else "Redis"
        version = about.get("valkey_version") or about["redis_version"]
        return f"{name} {version}, " + ("append-only file" if about.get("aof_enabled") else "no append-only file")

    async def _section(self, section: str) -> dict[str, Any]:
        if self._info_of is None:
            raise BenchFailed("The store is not known: name it with --redis-url.")
        return dict(await translate_errors(self._info_of(section)))

    async def _read(self) -> Costs:
        store_s = None
        if self._info_of is not None:
            cpu = await self._section("cpu")
            store_s = float(cpu["used_cpu_sys"]) + float(cpu["used_cpu_user"])
        front_s = sum(map(_process_s, self._front_pids)) if self._front_pids else None
        return Costs(front_s, store_s, time.process_time())


def _process_s(pid: int) -> float:
    """The CPU time of a process, in s."""
    folder = Path(f"/proc/{pid}")
    try:
        exact = [path.read_text("utf-8").split()[0] for path in folder.glob("task/*/schedstat")]
        if exact:
            return sum(map(int, exact)) / 1e9
        user, system = (folder / "stat").read_text("utf-8").rpartition(")")[2].split()[11:13]
    except OSError as error:
        raise BenchFailed(f"The process {pid} (--front-pid) cannot be measured: {error.strerror}.") from error
    return (int(user) + int(system)) / _TICKS_PER_S


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
