"""Real programs, started as a person would and stopped with the test."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

LIMIT_S = 30.0


class Program:
    """`titan` with some arguments, whose output is read line by line as it comes."""

    def __init__(self, *words: str, folder: Path, start: Sequence[str] = (sys.executable, "-m", "broker")) -> None:
        self.started = subprocess.Popen(
            [*start, *words],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._said: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """All that it said so far."""
        return "".join(self._said)

    def says(self, pattern: str) -> re.Match[str]:
        """Wait until its output matches; the match."""
        deadline = time.monotonic() + LIMIT_S
        with self._more:
            while (found := re.search(pattern, self.output, re.MULTILINE)) is None:
                if not self._reader.is_alive() or not self._more.wait(deadline - time.monotonic()):
                    pytest.fail(f"it did not say {pattern!r}, but:\n{self.output}")
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal and wait until it has ended; its exit code."""
        self.started.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended by itself; its exit code."""
        code = self.started.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        return code

    def end(self) -> None:
        """Whatever it does: it is gone afterwards."""
        self.started.kill()
        self.started.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        if self.started.stdout is not None:
            self.started.stdout.close()

    def _read(self) -> None:
        assert self.started.stdout is not None
        for line in self.started.stdout:
            with self._more:
                self._said.append(line)
                self._more.notify_all()
        with self._more:
            self._more.notify_all()


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for a store; a server that a killed broker left in it ends with the test."""
    folder = tmp_path_factory.mktemp("s")
    yield folder
    for pid_file in folder.glob("**/valkey.pid"):
        with suppress(ProcessLookupError):
            os.kill(int(pid_file.read_text()), signal.SIGKILL)


@pytest.fixture
def titan(folder: Path) -> Iterator[Callable[..., Program]]:
    """Starts `titan` in the folder."""
    programs: list[Program] = []

    def start(*words: str) -> Program:
        programs.append(Program(*words, folder=folder))
        return programs[-1]

    yield start
    for program in programs:
        program.end()


@pytest.fixture
def broker(titan: Callable[..., Program]) -> Callable[..., tuple[Program, str]]:
    """Starts `titan broker` on a free port; the program and its address."""

    def start(*words: str) -> tuple[Program, str]:
        program = titan("broker", "--port", "0", *words)
        return program, program.says(r"serves on (http://\S+);")[1]

    return start
