"""What a broker reports to systemd, and what it does at the signal of its unit's ExecReload."""

import json
import re
import signal
import socket
import struct
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.conftest import Program
from tests.system.test_serve import ask

pytestmark = pytest.mark.slow

Start = Callable[..., tuple[Program, str]]
WATCHDOG_S = 0.4


class Systemd:
    """The socket at which systemd listens, with what was sent to it: the process and its lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.channel.settimeout(20)
        self.channel.bind(str(path))
        self.heard: list[tuple[int, list[str]]] = []

    def next_of(self, word: str) -> tuple[int, list[str]]:
        """Wait for the next message that has a line, also one that came before."""
        while True:
            text, ancillary, _, _ = self.channel.recvmsg(4096, socket.CMSG_SPACE(12))
            pid = struct.unpack("3i", ancillary[0][2])[0]
            self.heard.append((pid, text.decode().splitlines()))
            if word in self.heard[-1][1]:
                return self.heard[-1]

    def rest(self) -> None:
        """Take what was sent and not yet looked at."""
        self.channel.settimeout(0)
        with pytest.raises(BlockingIOError):
            self.next_of("")


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    """A service manager that wants to hear of a broker that is started in the test."""
    manager = Systemd(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
    monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG_S * 1e6)))
    yield manager
    manager.channel.close()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_start_is_reported_to_systemd(broker: Start, systemd: Systemd, processes: str) -> None:
    """The first process alone reports, once: ready when it serves, alive again and again, stopping at SIGTERM."""
    program, url = broker("--processes", processes)
    ready = systemd.next_of("READY=1")
    assert ready == (program.started.pid, ["READY=1", f"STATUS=Serves on {url}"])
    assert systemd.heard == [ready]
    assert ask(f"{url}/readyz")["status"] == "ok"
    for _ in range(3):
        systemd.next_of("WATCHDOG=1")
    assert program.stop() == 0
    systemd.next_of("STOPPING=1")
    systemd.rest()
    words = [lines[0] for _, lines in systemd.heard]
    assert (words.count("READY=1"), words.count("STOPPING=1"), words[-1]) == (1, 1, "STOPPING=1")
    assert {pid for pid, _ in systemd.heard} == {program.started.pid}


def test_start_that_fails_is_never_reported_ready(titan: Callable[..., Program], systemd: Systemd) -> None:
    """A broker without a store ends, and the service manager heard nothing of it."""
    program = titan("broker", "--port", "0", "--redis-url", "redis://127.0.0.1:1/0")
    assert program.wait() == 1
    systemd.rest()
    assert systemd.heard == []


@pytest.mark.parametrize("processes", ["1", "2"])
def test_reload_command_of_the_unit_reads_tokens_again(
    broker: Start, titan: Callable[..., Program], tmp_path: Path, processes: str
) -> None:
    """The signal that ExecReload sends lets a token in that was made after the start, and keeps the process."""
    unit = (Path(__file__).parents[2] / "deploy" / "titan-broker@.service").read_text()
    [name] = re.findall(r"^ExecReload=/bin/kill -(\w+) \$MAINPID$", unit, re.MULTILINE)
    tokens = tmp_path / "tokens"
    assert titan("token", "new", "--scope", "read", "--tokens", str(tokens), "--name", "one").wait() == 0
    program, url = broker("--tokens", str(tokens), "--processes", processes)
    new = titan("token", "new", "--scope", "read", "--tokens", str(tokens), "--name", "two")
    assert new.wait() == 0
    [token] = re.findall(r"^\S{20,}$", new.output, re.MULTILINE)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        _groups(url, token)
    program.started.send_signal(signal.Signals[f"SIG{name}"])
    program.says(r"(read again: 2 tokens[^$]*){" + processes + "}")
    assert _groups(url, token) == []
    assert program.stop() == 0


def _groups(url: str, token: str) -> list[object]:
    request = urllib.request.Request(f"{url}/v1/groups", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return list(json.load(answer)["groups"])
