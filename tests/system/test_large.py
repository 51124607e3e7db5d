"""Large things beside small ones: a broker that is busy with them goes on with the rest."""

import re
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from tests.system.conftest import Program
from tests.system.test_serve import ask

pytestmark = pytest.mark.slow

STALL_S, SCRIPT_S = 0.5, 0.2
"""Ten and twenty times what a quiet machine takes: tests share theirs."""


def sent(url: str, body: bytes, kind: str) -> bytes:
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def test_many_large_bodies_at_once(broker: Callable[..., tuple[Program, str]]) -> None:
    """Bodies of 2 MB with a thousand jobs each, from twenty clients at once: every one is taken."""
    program, url = broker()
    body = b'{"jobs":[' + b",".join([b'{"image":"x","payload":"' + b"p" * 2000 + b'"}'] * 1000) + b"]}"
    with ThreadPoolExecutor(20) as clients:
        made = [clients.submit(sent, f"{url}/v1/groups/g/jobs", body, "application/json") for _ in range(20)]
        assert all(answer.result() for answer in made)
    assert ask(f"{url}/v1/groups/g")["group"]["counts"]["queued"] == 20_000
    assert program.stop() == 0


def test_large_things_hold_nobody_up(broker: Callable[..., tuple[Program, str]], folder: Path) -> None:
    """Bodies of 8 MiB and a log of 64 MiB neither stall the event loop nor make a script run long."""
    program, url = broker()
    with Redis(unix_socket_path=str(folder / "titan-data" / "valkey.sock")) as store:
        store.config_set("slowlog-log-slower-than", 1000)
        store.config_set("slowlog-max-len", 1000)
        job = b'{"image":"x","payload":"' + b"p" * 100_000 + b'"}'
        for _ in range(4):
            sent(f"{url}/v1/groups/g/jobs", b'{"jobs":[' + b",".join([job] * 83) + b"]}", "application/json")
        [taken, *_] = ask(f"{url}/v1/jobs?n=1000")["jobs"]
        path = f"{url}/v1/groups/g/jobs/{taken['id']}/log"
        sent(path, b"l" * (64 << 20), "text/plain")
        with urllib.request.urlopen(path, timeout=60) as answer:
            assert len(answer.read()) == 64 << 20
        slow = [row["duration"] / 1e6 for row in store.slowlog_get(1000) if row["command"].startswith(b"EVALSHA")]
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        found = re.search(r"^titan_loop_lag_max_seconds (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found is not None
    assert 0 < float(found[1]) < STALL_S
    assert max(slow, default=0) < SCRIPT_S
    assert program.stop() == 0
