"""Real servers started with deploy/redis.conf."""

import subprocess
import time
from pathlib import Path

import pytest
import redis

from tests.conftest import write_through


class StoreServer:
    """A server with deploy/redis.conf as its configuration, in a folder of its own, on a Unix socket only."""

    def __init__(self, program: str, conf: Path, folder: Path) -> None:
        self.program = program
        self.conf = conf
        self.folder = folder
        self.socket = folder / "s"
        self._running: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Return once it answers; fail with its output when it ends, or has not answered after 10 s."""
        place = ["--port", "0", "--dir", str(self.folder), "--unixsocket", str(self.socket)]
        with (self.folder / "output").open("wb") as output:
            self._running = subprocess.Popen(
                [self.program, str(self.conf), *place, *options], stdout=output, stderr=subprocess.STDOUT
            )
        until = time.monotonic() + 10
        while not self._answers():
            if self._running.poll() is not None or time.monotonic() > until:
                pytest.fail((self.folder / "output").read_text())
            time.sleep(0.05)

    def stop(self) -> None:
        """SIGTERM: the server saves and ends."""
        if self._running is not None:
            self._running.terminate()
            self._running.wait(timeout=20)
            self._running = None

    def kill(self) -> None:
        """SIGKILL: the server saves nothing more than what it has answered."""
        if self._running is not None:
            with self.client() as client:
                write_through(client)
            self._running.kill()
            self._running.wait(timeout=20)
            self._running = None

    def client(self) -> redis.Redis:
        """A connection that gives text."""
        return redis.Redis(unix_socket_path=str(self.socket), decode_responses=True)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                client.ping()
        except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
            return False
        return True
