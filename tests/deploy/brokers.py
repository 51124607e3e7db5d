"""A real broker beside a store, and what it answers."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def start(folder: Path, *options: str, **variables: str) -> subprocess.Popen[str]:
    """Start `titan broker` on a free port, with its data in a folder and what it says in a pipe."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TITAN_")}
    command = [sys.executable, "-m", "broker", "broker", "--port", "0", "--data-dir", str(folder), *options]
    return subprocess.Popen(command, env=clean | variables, stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """The URL of a broker that runs inside the block."""
    with start(folder, *options) as process:
        try:
            yield url_of(process)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def url_of(process: subprocess.Popen[str]) -> str:
    """The URL of a broker that was started, once it serves. On a busy machine it may warn of something before that."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("{"):
            said_as_object = json.loads(line)
            if said_as_object["event"] == "broker.serving":
                return str(said_as_object["url"])
        elif found := re.search(r"Titan serves on (http://\S+);", line):
            return found[1]
    raise AssertionError("".join(said))


def ask(url: str, body: object = None, *, text: str | None = None) -> tuple[int, Any]:
    """The status and the decoded body of a GET, or of a POST with a JSON body or a text."""
    request = urllib.request.Request(url)
    if text is not None:
        request.data, request.headers["Content-type"] = text.encode(), "text/plain"
    elif body is not None:
        request.data, request.headers["Content-type"] = json.dumps(body).encode(), "application/json"
    try:
        with _NO_PROXY.open(request, timeout=10) as answer:
            status, content = answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            status, content = refused.code, refused.read()
    return status, json.loads(content) if content else None


def eventually(look: Callable[[], bool], limit_s: float = 10.0) -> bool:
    """Whether it became true in the time."""
    until = time.monotonic() + limit_s
    while not look():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
