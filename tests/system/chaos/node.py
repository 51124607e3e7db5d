"""One server of a store: on a port for brokers and other servers, and on a Unix socket for the run."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import SystemRandom
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

TOP = Path(__file__).parents[3]
KEPT = {"save": '""', "appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
"""The options of each server: with an append-only file a kill -9 loses nothing of the server itself."""


class Node:
    """A server in a folder of its own. It keeps its port and its files when it is started again.

    `port` 0: it listens on its Unix socket only. `flags` are words for its command line, such as --sentinel.
    """

    def __init__(
        self, folder: Path, program: str, port: int, options: Mapping[str, str], flags: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.port = port
        self.socket = folder / "store.sock"
        self._program = program
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        own = {"port": str(port), "bind": "127.0.0.1", "dir": str(folder)}
        lines = [f"{name} {value}" for name, value in (own | dict(options)).items()]
        (folder / "server.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start it on the files that it has; returns before it answers."""
        self.socket.unlink(missing_ok=True)
        words = [self._program, "server.conf", "--unixsocket", str(self.socket), *self._flags]
        self._process = run_program(words, self.folder, "server")

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> None:
        """Wait until it has ended."""
        assert self._process is not None
        self._process.wait()

    def end(self) -> None:
        """Kill it, frozen or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def client(self, timeout_s: float = 5.0) -> Redis:
        """A client that sends nothing twice."""
        return Redis(unix_socket_path=str(self.socket), socket_timeout=timeout_s, retry=Retry(NoBackoff(), 0))

    def ask(self, *words: str) -> Any:
        """The reply to one command, as it came. Raises RedisError."""
        with Redis(
            unix_socket_path=str(self.socket), socket_timeout=5.0, retry=Retry(NoBackoff(), 0), decode_responses=True
        ) as client:
            client.response_callbacks.clear()
            return client.execute_command(*words)

    def replication(self) -> dict[str, str]:
        """The section `replication` of INFO. Raises RedisError."""
        lines = str(self.ask("INFO", "replication")).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


def run_program(words: Sequence[str], folder: Path, name: str) -> subprocess.Popen[bytes]:
    """Start a program in a folder; what it says goes to NAME.log there."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TITAN_")}
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(words, cwd=folder, env=clean | {"PYTHONPATH": str(TOP)}, stdout=log, stderr=log)


def free_ports(n: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody has.

    They are below those that the system gives to outgoing connections, so that a server that was killed gets its port
    again.
    """
    found: list[int] = []
    while len(found) < n:
        port = SystemRandom().randrange(15_000, 32_000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                found += [port] if port not in found else []
        except OSError:
            continue
    return found


def broker_words(port: str, url: str, prefix: str, partitions: int, folder: Path) -> list[str]:
    """The command line of a broker."""
    words = [sys.executable, "-m", "broker", "broker", "--port", port, "--redis-url", url, "--key-prefix", prefix]
    return [*words, "--partitions", str(partitions), "--data-dir", str(folder), "--shutdown-grace-s", "10"]


KILL, FREEZE, THAW = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT
