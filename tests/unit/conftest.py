"""Servers of a test's own, to be filled, frozen or cut off."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.conftest import server_program, start_server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Callable[..., tuple[str, subprocess.Popen[bytes]]]]:
    """Starts a Valkey that no other test uses: `own_server(*options)` gives its address and the process."""
    servers = []

    def start(*options: str) -> tuple[str, subprocess.Popen[bytes]]:
        folder = tmp_path / str(len(servers))
        folder.mkdir()
        url, server = start_server(server_program("valkey"), folder, *options)
        servers.append(server)
        return url, server

    yield start
    for server in servers:
        server.kill()
        server.wait()


@pytest.fixture(scope="session")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of one Valkey with all slots: it refuses a script whose keys are in two."""
    options = ["--cluster-enabled", "yes", "--port", str(free_port()), "--cluster-port", str(free_port())]
    url, server = start_server(server_program("valkey"), tmp_path_factory.mktemp("cluster"), *options)
    with Redis.from_url(url) as client:
        client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16_383)
        while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
            client.ping()
    yield url
    server.kill()
    server.wait()


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        return int(here.getsockname()[1])
