"""Brokers that were started oddly: they serve, and end at SIGTERM with exit code 0, alone and as several."""

import os
import pty
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.system.conftest import Program
from tests.system.test_processes import children
from tests.system.test_serve import ask
from tests.worker.oddly import MUTE, PARENTS, after

pytestmark = pytest.mark.slow

LIMIT_S = 30
AT_TERMINAL = after("fcntl.ioctl(0, termios.TIOCSCTTY, 0)")
"""Takes its standard input for its terminal."""
NOHUP = after("signal.signal(signal.SIGHUP, signal.SIG_IGN)")


def free_port() -> int:
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def is_ready(url: str) -> bool:
    """Whether a broker serves there."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


def until(holds: Callable[[], bool], limit_s: float = LIMIT_S) -> bool:
    """Wait for what another program does; whether it came."""
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class Oddly:
    """`titan` after words that start it oddly; with a terminal of its own where that is asked for."""

    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._folder = folder
        self._started: subprocess.Popen[bytes] | None = None
        self._terminal = -1

    def start(self, before: Sequence[str], *words: str, on_terminal: bool = False) -> None:
        """Start it."""
        port = self.url.rpartition(":")[2]
        argv = [*before, sys.executable, "-m", "broker", *words, "--port", port, "--data-dir", str(self._folder / "d")]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        if not on_terminal:
            self._started = subprocess.Popen(argv, env=environment)
            return
        self._terminal, theirs = pty.openpty()
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        self._started = subprocess.Popen([*AT_TERMINAL, *argv], env=environment, start_new_session=True, **streams)
        os.close(theirs)

    def close_terminal(self) -> None:
        """What becomes of it when the window is closed."""
        os.close(self._terminal)
        self._terminal = -1

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._started is not None
        self._started.send_signal(number)

    def code(self, limit_s: float = LIMIT_S) -> int | None:
        """Its exit code; None when it runs on."""
        assert self._started is not None
        with suppress(subprocess.TimeoutExpired):
            return self._started.wait(limit_s)
        return None

    def end(self) -> None:
        """Whatever it does: it is gone afterwards."""
        if self._terminal >= 0:
            os.close(self._terminal)
        if self._started is not None:
            self._started.kill()
            self._started.wait()


@pytest.fixture
def oddly(folder: Path) -> Iterator[Oddly]:
    """The program, gone at the end."""
    program = Oddly(folder)
    yield program
    program.end()


SERVICES = [("broker",), ("broker", "--processes", "2"), ("up",)]
ODD_STARTS = [(words, parent) for words in SERVICES for parent in [*PARENTS, *MUTE]]
ODD_STARTS.remove((("up",), "reads nothing"))  # `titan up | head -1` ends; tests/cli/test_streams.py shows it


@pytest.mark.parametrize(("words", "parent"), ODD_STARTS)
def test_start_oddly(oddly: Oddly, words: tuple[str, ...], parent: str) -> None:
    """Whatever a parent did, it serves, and SIGTERM ends it."""
    oddly.start((PARENTS | MUTE)[parent], *words)
    assert until(lambda: is_ready(oddly.url))
    oddly.signal(signal.SIGTERM)
    assert oddly.code() == 0


@pytest.mark.parametrize("words", [("up",), ("broker",), ("broker", "--processes", "2")], ids=" ".join)
def test_a_terminal_that_is_closed_stops_what_it_shows(oddly: Oddly, words: tuple[str, ...]) -> None:
    """It ends as at Ctrl-C, exit code 0, and serves no more unseen."""
    oddly.start((), *words, on_terminal=True)
    assert until(lambda: is_ready(oddly.url))
    oddly.close_terminal()
    assert oddly.code() == 0
    assert not is_ready(oddly.url)


@pytest.mark.parametrize("words", [("up",), ("broker",)], ids=" ".join)
def test_nohup_outlives_a_terminal(oddly: Oddly, words: tuple[str, ...]) -> None:
    """Below nohup it serves on when the terminal is closed, until SIGTERM."""
    oddly.start(NOHUP, *words, on_terminal=True)
    assert until(lambda: is_ready(oddly.url))
    oddly.close_terminal()
    assert oddly.code(2) is None
    assert is_ready(oddly.url)
    oddly.signal(signal.SIGTERM)
    assert oddly.code() == 0


def test_hangup_without_a_terminal_is_no_stop(broker: Callable[..., tuple[Program, str]]) -> None:
    """SIGHUP of a person reads files again, and the broker serves on."""
    program, url = broker()
    program.started.send_signal(signal.SIGHUP)
    program.says("read again")
    assert ask(f"{url}/healthz")
    assert program.stop() == 0


def test_term_to_all_processes_of_a_service(broker: Callable[..., tuple[Program, str]]) -> None:
    """SIGTERM to the parent, its brokers and the store at once is one stop, with exit code 0, and loses no job."""
    program, url = broker("--processes", "2")
    job = ask(f"{url}/v1/groups/g/jobs", b'{"jobs":[{"image":"hello"}]}')["jobs"][0]
    below = children(program)
    store = [int(pid) for child in below for pid in Path(f"/proc/{child}/task/{child}/children").read_text().split()]
    for pid in (*store, *below, program.started.pid):
        os.kill(pid, signal.SIGTERM)
    assert program.wait() == 0
    program, url = broker()
    assert ask(f"{url}/v1/groups/g/jobs/{job['id']}")["job"]["status"] == "queued"
    assert program.stop() == 0


@pytest.mark.parametrize(
    ("words", "before", "said"),
    [
        (("--data-dir", "d"), PARENTS["removes the folder"], "The current folder was deleted"),
        (("--data-dir", os.fsdecode(b"d\xff")), (), "is not UTF-8 text"),
    ],
)
@pytest.mark.parametrize("command", ["broker", "up"])
def test_start_in_no_place(
    tmp_path: Path, command: str, words: tuple[str, ...], before: tuple[str, ...], said: str
) -> None:
    """A data folder that has no place, or no name, stops the start with one line."""
    argv = [*before, sys.executable, "-m", "broker", command, "--port", "0", *words]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 1
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
