"""Starts a broker on a free port of 127.0.0.1 with an embedded store: real processes with the default settings."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).parents[2]
_START_S, _STOP_S = 30.0, 60.0


class Server(NamedTuple):
    """URL and process id of a broker, and URL of its store."""

    url: str
    pid: int
    redis_url: str


@contextmanager
def server(*options: str) -> Iterator[Server]:
    """Run a broker inside the block. At the end it stops broker and store and deletes their data."""
    with tempfile.TemporaryDirectory(prefix="titan-bench-") as folder:
        argv = [sys.executable, "-m", "broker", "broker", "--port", "0", "--data-dir", "data", *options]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TITAN_")}
        output = Path(folder, "output")
        with (
            output.open("wb") as file,
            subprocess.Popen(
                argv,
                cwd=folder,
                env=environment | {"PYTHONPATH": str(_ROOT), "TITAN_LOG_LEVEL": "warning"},
                stdin=subprocess.DEVNULL,
                stderr=file,
            ) as broker,
        ):
            try:
                yield Server(broker_url(broker, output, _START_S), broker.pid, f"unix://{folder}/data/valkey.sock")
            finally:
                broker.terminate()
                try:
                    broker.wait(_STOP_S)
                except subprocess.TimeoutExpired:
                    broker.kill()


def broker_url(broker: subprocess.Popen[bytes], output: Path, limit_s: float) -> str:
    """The URL that a broker prints to `output` as soon as it serves. Raises SystemExit when it does not start."""
    deadline = time.monotonic() + limit_s
    while broker.poll() is None and time.monotonic() < deadline:
        if found := re.search(r"serves on (http://\S+);", output.read_text()):
            return found[1]
        time.sleep(0.05)
    raise SystemExit(f"The broker did not start: {output.read_text()}")
