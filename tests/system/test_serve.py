"""A broker as a process: how it starts, refuses to start, and ends."""

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from tests.conftest import write_through
from tests.system.conftest import Program

Start = Callable[..., tuple[Program, str]]
BODY = b'{"jobs":[{"image":"hello","payload":"late"}]}'
HEAD = (
    b"POST /v1/groups/g/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: " + str(len(BODY)).encode() + b"\r\n\r\n"
)

pytestmark = pytest.mark.slow


def ask(url: str, body: bytes | None = None, method: str | None = None) -> dict:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def link_to(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), 10)


def all_of(link: socket.socket) -> bytes:
    """What comes until the other side closes."""
    pieces = []
    while piece := link.recv(65_536):
        pieces.append(piece)
    return b"".join(pieces)


def wait_until_refused(url: str) -> None:
    """Wait until nobody listens there any more."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            link_to(url).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)  # that nobody listens can only be seen by trying
    pytest.fail("it listens still")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_by_signal(broker: Start, number: int) -> None:
    """SIGTERM and SIGINT end a broker with exit code 0, and its store with it."""
    program, url = broker()
    assert ask(f"{url}/healthz")
    assert program.stop(number) == 0
    assert "redis-cli -s " in program.output


def test_stop_answers_what_is_in_progress(broker: Start) -> None:
    """A request whose body is still on its way when the stop begins is taken whole, and answered."""
    program, url = broker()
    with link_to(url) as link:
        link.sendall(HEAD + BODY[:10])
        time.sleep(0.2)  # nothing tells that the head has been read
        program.started.send_signal(signal.SIGTERM)
        wait_until_refused(url)
        link.sendall(BODY[10:])
        answer = all_of(link)
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert b"Connection: close" in answer
    assert program.wait() == 0


@pytest.mark.parametrize("sent", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"SSH-2.0-x\r\n"])
def test_another_protocol_at_the_port(broker: Start, sent: bytes) -> None:
    """HTTP/2, TLS or anything else is answered long before the deadline of a head, and the connection is closed."""
    program, url = broker("--head-timeout-s", "600")
    with link_to(url) as link:
        link.sendall(sent)
        answer = all_of(link)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert program.stop() == 0


def test_stop_lets_long_polls_go(broker: Start) -> None:
    """A client that waits for a job gets an empty answer at once when the broker stops."""
    program, url = broker()
    with link_to(url) as link:
        link.sendall(b"GET /v1/jobs?wait=30 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.2)  # nothing tells that it waits
        beginning = time.monotonic()
        program.started.send_signal(signal.SIGTERM)
        answer = all_of(link)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'{"jobs":[]}')
    assert program.wait() == 0
    assert time.monotonic() - beginning < 5


def test_stop_after_the_grace(broker: Start) -> None:
    """A body that never comes holds a stop up no longer than the grace."""
    program, url = broker("--shutdown-grace-s", "0.3")
    with link_to(url) as link:
        link.sendall(HEAD)
        time.sleep(0.2)  # nothing tells that the head has been read
        beginning = time.monotonic()
        assert program.stop() == 0
    assert time.monotonic() - beginning < 10
    assert "1 request broken off" in program.output


def test_kill_loses_nothing(broker: Start, folder: Path) -> None:
    """After kill -9 of the broker, and then of its store, every acknowledged job is there at the next start."""
    program, url = broker()
    first = ask(f"{url}/v1/groups/g/jobs", BODY)["jobs"][0]
    program.stop(signal.SIGKILL)
    program, url = broker()
    second = ask(f"{url}/v1/groups/g/jobs", BODY)["jobs"][0]
    with Redis(unix_socket_path=str(folder / "titan-data" / "valkey.sock")) as store:
        write_through(store)
    os.kill(int((folder / "titan-data" / "valkey.pid").read_text()), signal.SIGKILL)
    program.says("the embedded store is back")
    assert [job["id"] for job in ask(f"{url}/v1/groups/g/jobs")["jobs"]] == [first["id"], second["id"]]
    assert program.stop() == 0


def test_two_brokers_on_one_folder(broker: Start) -> None:
    """Two brokers on one folder share its store; the one that stays keeps it when the other goes."""
    first, url = broker()
    second, other_url = broker()
    job = ask(f"{url}/v1/groups/g/jobs", BODY)["jobs"][0]
    assert ask(f"{other_url}/v1/groups/g/jobs/{job['id']}")["job"]["id"] == job["id"]
    assert first.stop() == 0
    assert ask(f"{other_url}/v1/groups/g/jobs/{job['id']}")["job"]["id"] == job["id"]
    assert second.stop() == 0


def refused(program: Program, reason: str) -> None:
    assert program.wait() == 1
    assert len(program.output.splitlines()) == 1
    assert reason in program.output


def test_start_on_a_port_in_use(titan: Callable[..., Program]) -> None:
    """A port that is in use stops the start with one line that names it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused(titan("broker", "--port", str(port)), f"Cannot listen on 127.0.0.1:{port}: Address already in use.")


def test_start_without_a_store(titan: Callable[..., Program]) -> None:
    """A store that cannot be reached stops the start with one line that names it, without its password."""
    program = titan("broker", "--port", "0", "--redis-url", "redis://user:swordfish@127.0.0.1:1/0")
    refused(program, "The store at redis://127.0.0.1:1/0 does not answer")
    assert "swordfish" not in program.output


def test_start_with_other_partitions(broker: Start, titan: Callable[..., Program]) -> None:
    """The number of partitions cannot change; the line says what the store has."""
    program, _ = broker("--partitions", "2")
    refused(titan("broker", "--port", "0", "--partitions", "3"), "--partitions 2")
    assert program.stop() == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--redis-url", "http://store"), "is not the address of a store"),
        (("--log-store", "nonsense://x"), "nonsense://x"),
        (("--data-dir", "/dev/null/x"), "/dev/null/x (--data-dir) cannot be used: Not a directory."),
    ],
)
def test_start_with_a_wrong_place(titan: Callable[..., Program], words: tuple[str, str], reason: str) -> None:
    """An address or folder that cannot be used stops the start with one line."""
    refused(titan("broker", "--port", "0", *words), reason)


def test_stop_is_not_ready_before_it_stops_listening(broker: Start) -> None:
    """From SIGTERM on /readyz is 503 while the port takes requests for the delay; then all is answered, exit 0."""
    program, url = broker("--drain-delay-s", "1.5")
    with link_to(url) as half, link_to(url) as poll:
        half.sendall(HEAD + BODY[:10])
        poll.sendall(b"GET /v1/jobs?wait=30&group=other HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.2)  # nothing tells that the heads have been read
        beginning = time.monotonic()
        program.started.send_signal(signal.SIGTERM)
        while (status := status_of(f"{url}/readyz")) == 200:
            assert time.monotonic() - beginning < 1
        assert status == 503
        assert ask(f"{url}/v1/groups/g/jobs", BODY)["jobs"]
        wait_until_refused(url)
        assert time.monotonic() - beginning >= 1.5
        assert all_of(poll).endswith(b'{"jobs":[]}')
        half.sendall(BODY[10:])
        assert all_of(half).startswith(b"HTTP/1.1 201 ")
    assert program.wait() == 0
    print(f"exit 0 in {time.monotonic() - beginning:.2f} s with a delay of 1.5 s")
    assert time.monotonic() - beginning < 8


def test_start_on_a_store_that_can_lose_jobs(broker: Start, titan: Callable[..., Program], valkey_url: str) -> None:
    """--require-durable refuses a store without an append-only file; without it the start warns; readyz says both."""
    refused(titan("broker", "--port", "0", "--redis-url", valkey_url, "--require-durable"), "set `appendonly yes`")
    program, url = broker("--redis-url", valkey_url, "--key-prefix", "other")
    assert program.says(r"WARNING broker\.diagnostics\.durability: the store: appendonly no\. Jobs are lost when")
    assert ask(f"{url}/readyz")["warnings"]
    _, url = broker("--require-durable")
    assert ask(f"{url}/readyz") == {
        "status": "ok",
        "store": "appendonly yes, appendfsync everysec, maxmemory-policy noeviction, role master",
    }


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code
