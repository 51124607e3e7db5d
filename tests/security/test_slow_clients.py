"""Clients that send slowly, say nothing, do not read, or are too many: each is closed in time, and the others go on."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from unittest.mock import Mock

import pytest

from broker.auth.grants import Access
from broker.core.settings import BrokerSettings
from broker.http.server.aiohttp_private import Connection
from broker.http.server.connection_guard import ConnectionGuard
from broker.logs.storage import Logs
from tests.api.client import Http

HEAD_S, BODY_S, JSON_S = 1.0, 0.5, 1.0
_LARGE = b"Host: localhost\r\nContent-Length: 300000\r\n"
HEAD = b"POST /v1/groups/g/jobs HTTP/1.1\r\n" + _LARGE + b"Content-Type: application/json\r\n\r\n"
LOG = b"POST /v1/groups/g/jobs/%s/log HTTP/1.1\r\n" + _LARGE + b"Content-Type: text/plain\r\n\r\n"


@pytest.fixture
def settings() -> BrokerSettings:
    """Short times."""
    return BrokerSettings(
        key_prefix="slow", head_timeout_s=HEAD_S, body_timeout_s=BODY_S, json_timeout_s=JSON_S, log_timeout_s=JSON_S
    )


@pytest.fixture
def access() -> Access:
    """No token is asked for."""
    return Access()


@asynccontextmanager
async def link(http: Http) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection."""
    reader, writer = await asyncio.open_connection(*http.address)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def drip(http: Http, first: bytes, drop: bytes, every_s: float) -> tuple[float, bytes]:
    """Send something, then a drop again and again; how long until the broker closed, in s, and what it said."""
    began, said = time.monotonic(), bytearray()

    async def read(reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):  # what came before a reset counts
            while piece := await reader.read(65536):
                said.extend(piece)

    async with link(http) as (reader, writer):
        reading = asyncio.create_task(read(reader))
        writer.write(first)
        while not reading.done() and time.monotonic() - began < 20:
            with suppress(ConnectionError):
                if drop:
                    writer.write(drop)
            await asyncio.wait([reading], timeout=every_s)
        took_s = time.monotonic() - began
        await reading
        return took_s, bytes(said)


@pytest.mark.parametrize(
    ("first", "drop"),
    [(b"", b""), (b"GET", b""), (b"G", b"E"), (b"GET / HTTP/1.1\r\n", b"X: y\r\n"), (b"\r\n", b"\r\n")],
    ids=["silent", "half", "letters", "headers", "lines"],
)
async def test_head_that_does_not_come(http: Http, first: bytes, drop: bytes) -> None:
    """A connection whose first request's head is not there in time is closed."""
    took_s, said = await drip(http, first, drop, 0.1)
    assert took_s < HEAD_S + 3
    assert b" 200 " not in said


async def test_body_that_pauses(http: Http) -> None:
    """A body that stops coming is a 408, and the connection is closed."""
    took_s, said = await drip(http, HEAD + b"{", b"", 0.1)
    assert BODY_S <= took_s < BODY_S + 3
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"too_slow"' in said


async def test_body_that_drips(http: Http) -> None:
    """A JSON body that comes byte by byte, never pausing, is a 408 after the time for all of it."""
    took_s, said = await drip(http, HEAD, b"x", BODY_S / 5)
    assert JSON_S <= took_s < JSON_S + 3
    assert said.startswith(b"HTTP/1.1 408 ")


async def test_log_that_drips(http: Http) -> None:
    """A log that comes byte by byte is a 408 after the time for all of it, and nothing of it is kept."""
    [job] = await http.running()
    took_s, said = await drip(http, LOG % job["id"].encode(), b"x", BODY_S / 5)
    assert JSON_S <= took_s < JSON_S + 3
    assert said.startswith(b"HTTP/1.1 408 ")
    assert (await http("GET", f"/v1/groups/g/jobs/{job['id']}/log")).status == 404


async def test_answer_that_is_not_read(http: Http, logs: Logs) -> None:
    """A client that does not read its answer is cut off, so that it holds nothing for ever."""
    [job] = await http.running()

    async def log() -> AsyncIterator[bytes]:
        yield b"x" * 30_000_000

    await logs.write(job["id"], log())  # by HTTP it might take longer than these short times allow
    path = f"/v1/groups/g/jobs/{job['id']}/log"
    reader, writer = await asyncio.open_connection(*http.address, limit=1024)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await asyncio.sleep(BODY_S + 2.5)  # that it is cut off is only seen by reading
    size = 0
    with suppress(ConnectionError):
        while piece := await reader.read(1 << 20):
            size += len(piece)
    assert size < 30_000_000
    writer.close()


async def test_connection_that_works_is_kept(http: Http) -> None:
    """A connection that has asked once stays, and one that waits for a job is not cut off."""
    async with link(http) as (reader, writer):
        writer.write(b"GET /v1/jobs?wait=3 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(2 * HEAD_S)  # that nothing happens can only be waited for
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).count(b"HTTP/1.1 200 ") == 1


async def test_answered_connection_is_not_new() -> None:
    """A connection that was answered in the moment it came, by the loop's clock, makes no room for another."""
    guard = ConnectionGuard(BrokerSettings(max_connections=1))
    silent, answered = (Connection(Mock(), loop=asyncio.get_running_loop(), keepalive_timeout=5) for _ in "12")
    silent.restart_keepalive()
    answered.restart_keepalive()
    guard.made(answered)
    answered.restart_keepalive()
    assert not guard.make_room()
    guard.lost(answered)
    guard.made(silent)
    assert guard.make_room()
    assert guard.count == 0


class TestTooMany:
    """More connections than allowed."""

    @pytest.fixture
    def settings(self) -> BrokerSettings:
        """Three connections, and much time."""
        return BrokerSettings(key_prefix="many", max_connections=3)

    async def test_silent_ones_make_room(self, http: Http) -> None:
        """With all places taken by connections that say nothing, the oldest goes and a new one is served."""
        links = [await asyncio.open_connection(*http.address) for _ in range(3)]
        assert (await http("GET", "/healthz")).status == 200
        async with asyncio.timeout(5):
            with suppress(ConnectionError):
                assert await links[0][0].read() == b""
        for _, writer in links:
            writer.close()

    async def test_busy_ones_stay(self, http: Http) -> None:
        """With all places taken by connections that ask, a new one gets a 503 at once, and those are served."""
        links = [await asyncio.open_connection(*http.address) for _ in range(3)]
        for _, writer in links:
            writer.write(b"GET /v1/jobs?wait=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await asyncio.sleep(0.2)  # nothing tells that they wait
        refused = await http.raw(b"")
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in refused
        assert b'"code":"overloaded"' in refused
        for reader, writer in links:
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()


def p99_ms(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)] * 1000


async def calls(http: Http, n: int) -> list[float]:
    """How long each of some calls takes, in s."""
    times = []
    for _ in range(n):
        began = time.perf_counter()
        assert (await http("POST", "/v1/groups/g/jobs", {"jobs": [{"image": "i"}]})).status == 201
        times.append(time.perf_counter() - began)
    return times


@pytest.mark.slow
async def test_slow_clients_leave_the_others_alone(http: Http, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside 200 slow and silent clients others' p99 stays, and every one of the 200 is closed in time."""
    await calls(http, 50)
    alone_ms = p99_ms(await calls(http, 300))
    kinds = [(b"", b""), (b"GET / HTTP/1.1\r\n", b"X: y\r\n"), (HEAD, b"x"), (HEAD + b"{", b"")]
    slow = [asyncio.create_task(drip(http, *kinds[n % 4], 0.25)) for n in range(200)]
    await asyncio.sleep(0.3)  # they have all come by then
    beside_ms = p99_ms(await calls(http, 300))
    async with asyncio.timeout(20):
        ended = await asyncio.gather(*slow)
    longest_s = max(took_s for took_s, _ in ended)
    line = f"p99 beside 200 slow clients {beside_ms:.1f} ms, alone {alone_ms:.1f} ms; all closed in {longest_s:.1f} s"
    with capsys.disabled():
        print(f"\n{line}")
    assert beside_ms < 5 * alone_ms + 100
    assert longest_s < HEAD_S + 5
