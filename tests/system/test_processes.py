"""Several brokers on one port: they serve together, one that dies comes back, and they end together."""

import json
import os
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.system.conftest import Program
from tests.system.test_serve import all_of, ask, link_to, refused, wait_until_refused

Start = Callable[..., tuple[Program, str]]
BODY = b'{"jobs":[{"image":"hello"}]}'

pytestmark = pytest.mark.slow


def children(program: Program) -> list[int]:
    """The process ids of the brokers."""
    pid = program.started.pid
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def enqueue_until(stop: Event, url: str, answered: list[str]) -> None:
    """Enqueue one job after the other, each over a new connection; the ids of those that were answered."""
    while not stop.is_set():
        with suppress(OSError, urllib.error.URLError, ValueError):  # its broker was killed
            answered.append(ask(f"{url}/v1/groups/g/jobs", BODY)["jobs"][0]["id"])


def ids_of(url: str) -> set[str]:
    """All jobs of the group."""
    seen, cursor = set(), ""
    while True:
        page = ask(f"{url}/v1/groups/g/jobs?n=1000&cursor={cursor}")
        seen |= {job["id"] for job in page["jobs"]}
        if not (cursor := page.get("cursor", "")):
            return seen


def test_kill_of_one_of_several(broker: Start) -> None:
    """After kill -9 of one broker the others go on, no acknowledged job is lost, and it comes back on the port."""
    program, url = broker("--processes", "3")
    before = children(program)
    assert len(before) == 3
    answered: list[str] = []
    stop = Event()
    producer = Thread(target=enqueue_until, args=(stop, url, answered))
    producer.start()
    try:
        for victim in before:
            os.kill(victim, signal.SIGKILL)
            program.says(rf"\(process {victim}\) ended with SIGKILL; it is started again")
            so_far = len(answered)
            deadline = time.monotonic() + 20
            while len(answered) < so_far + 20:
                assert time.monotonic() < deadline
                time.sleep(0.01)  # another thread counts
    finally:
        stop.set()
        producer.join()
    for number in range(3):
        program.says(f"broker {number} is back")
    assert not set(before) & set(children(program))
    assert set(answered) <= ids_of(url)
    assert program.stop() == 0
    wait_until_refused(url)


def test_stop_of_several(broker: Start) -> None:
    """SIGTERM ends all of them with exit code 0; clients that wait for a job get their answer, the store stops."""
    program, url = broker("--processes", "2")
    links = [link_to(url) for _ in range(8)]
    for link in links:
        link.sendall(b"GET /v1/jobs?wait=30 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    time.sleep(0.3)  # nothing tells that they wait
    assert program.stop() == 0
    for link in links:
        with link:
            assert all_of(link).endswith(b'{"jobs":[]}')


def test_brokers_without_their_parent(broker: Start) -> None:
    """Brokers whose parent was killed stop, and so does the store: nothing is left on the port."""
    program, url = broker("--processes", "2")
    program.stop(signal.SIGKILL)
    wait_until_refused(url)


def test_start_of_several_on_a_port_in_use(titan: Callable[..., Program]) -> None:
    """A port that is in use stops the start with one line, also when those who have it would share it."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        words = ("broker", "--port", str(port), "--processes", "2")
        refused(titan(*words), f"Cannot listen on 127.0.0.1:{port}: Address already in use.")


def test_start_of_several_without_a_store(titan: Callable[..., Program]) -> None:
    """What is wrong with the store is said once, however many brokers there are to be."""
    words = ("broker", "--port", "0", "--processes", "3", "--redis-url", "redis://127.0.0.1:1/0")
    refused(titan(*words), "The store at redis://127.0.0.1:1/0 does not answer")


def test_settings_reach_every_process(broker: Start) -> None:
    """What is set for the broker holds in each process, and a secret stands in no command line."""
    program, url = broker("--processes", "2", "--max-body-bytes", "1024")
    for _ in range(8):
        with pytest.raises(urllib.error.HTTPError) as answer:
            ask(f"{url}/v1/groups/g/jobs", b" " * 2000)
        with answer.value:
            assert json.load(answer.value)["error"]["code"] == "too_large"
    for pid in children(program):
        assert b"max" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert program.stop() == 0


def test_hang_up_reaches_every_process(broker: Start) -> None:
    """SIGHUP ends neither the parent nor a broker."""
    program, url = broker("--processes", "2")
    before = children(program)
    program.started.send_signal(signal.SIGHUP)
    assert [ask(f"{url}/healthz") for _ in range(8)] == [{"status": "ok"}] * 8
    assert children(program) == before
    assert program.stop() == 0


def test_metrics_of_several(broker: Start) -> None:
    """A scrape, whichever process answers it, has the sums of all, and the numbers of the store once."""
    program, url = broker("--processes", "2")
    for _ in range(20):
        ask(f"{url}/healthz")
    for _ in range(4):
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
            told = answer.read().decode()
        assert re.findall(r'^titan_loop_lag_max_seconds\{process="(\d)"\}', told, re.MULTILINE) == ["0", "1"]
        assert re.findall(r'titan_requests_total\{.*verb="healthz".*\} (\d+)\.0', told) == ["20"]
        assert len(re.findall(r'^titan_store_up\{server="unix://.*"\} 1.0$', told, re.MULTILINE)) == 1
        assert told.count("# TYPE titan_requests_total ") == 1
        assert len(re.findall(r'^titan_store_call_seconds_count\{server="unix://.*"\} \d', told, re.MULTILINE)) == 1
    assert program.stop() == 0
