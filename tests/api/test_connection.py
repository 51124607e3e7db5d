"""One connection: plain requests and unusual ones in any mix, answered in order, none lost and none twice."""

import asyncio
import gc
import re

import pytest

from broker.http.responses import Response
from broker.http.server.pending_response import PendingResponse
from broker.http.server.protocol import MOST_UNDER_WAY
from tests.api.client import Http
from tests.conftest import eventually
from tests.stores import Store

BODY = b'{"jobs":[{"image":"i"}]}'
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LIST = b"GET /v1/groups/g/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n"
NOWHERE = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
STATUS = re.compile(rb"HTTP/1\.[01] (\d\d\d) ")


@pytest.fixture(params=["fake", "valkey"])
def backend(request: pytest.FixtureRequest) -> str:
    """With a wire handlers run in steps, without one in tasks."""
    return str(request.param)


def enqueue(payload: int, headers: bytes = b"") -> bytes:
    """A request that enqueues one job."""
    body = b'{"jobs":[{"image":"i","payload":"%d"}]}' % payload
    return b"POST /v1/groups/g/jobs HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: %d\r\n\r\n%b" % (
        headers,
        len(body),
        body,
    )


def chunked(payload: int) -> bytes:
    """The same with a body in chunks."""
    body = b'{"jobs":[{"image":"i","payload":"%d"}]}' % payload
    head = b"POST /v1/groups/g/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def statuses(answers: bytes) -> list[int]:
    """The statuses in what was read."""
    return [int(status) for status in STATUS.findall(answers)]


async def payloads(store: Store) -> list[str]:
    """The payloads of the group's jobs in the order of the queue."""
    jobs, _ = await store.list("g", 1000, statuses=["queued"])
    return [str(job.payload) for job in jobs]


async def test_pipelined_requests_are_answered_in_order(http: Http, store: Store) -> None:
    """Many requests in one piece: each has its answer, in the order in which they were asked."""
    answers = await http.raw(b"".join(enqueue(n) for n in range(50)) + LIST + LAST)
    assert statuses(answers) == [201] * 50 + [200, 200]
    assert re.findall(rb'"payload":"(\d+)"', answers)[:50] == [b"%d" % n for n in range(50)]
    assert await payloads(store) == [str(n) for n in range(50)]


async def test_more_requests_than_may_be_under_way(http: Http, store: Store) -> None:
    """A client that pipelines without end is read no further than answers leave; all are answered."""
    n = 3 * MOST_UNDER_WAY
    answers = await http.raw(b"".join(enqueue(i) for i in range(n)) + LAST)
    assert statuses(answers) == [201] * n + [200]


@pytest.mark.parametrize("piece", [1, 7, 64])
async def test_requests_in_small_pieces(http: Http, store: Store, piece: int) -> None:
    """A request that comes in pieces is answered as one that comes whole."""
    whole = enqueue(1) + HEALTH + enqueue(2, b"Expect: 100-continue\r\n") + LAST
    async with http.line(b"") as (reader, writer):
        for at in range(0, len(whole), piece):
            writer.write(whole[at : at + piece])
            await writer.drain()
            await asyncio.sleep(0)
        answers = await reader.read()
    assert [status for status in statuses(answers) if status != 100] == [201, 200, 201, 200]
    assert await payloads(store) == ["1", "2"]


@pytest.mark.parametrize(
    ("unusual", "status"),
    [
        (NOWHERE, 404),
        (b"HEAD /v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"OPTIONS /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET /v1/groups/%67/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Name: \xc3\xbc\r\n\r\n", 200),
        (enqueue(9, b"Expect: 100-continue\r\n"), 201),
        (enqueue(9, b"Content-Encoding: gzip\r\n"), 415),
    ],
)
async def test_unusual_requests_among_plain_ones(http: Http, unusual: bytes, status: int) -> None:
    """What aiohttp must answer has its turn, and what stands behind it too."""
    answers = await http.raw(enqueue(1) + HEALTH + unusual + enqueue(2) + LAST)
    assert [s for s in statuses(answers) if s != 100] == [201, 200, status, 201, 200]


async def test_chunks_among_plain_requests(http: Http, store: Store) -> None:
    """The end of a chunked body is not looked for: the rest of the connection is aiohttp's, and answered as well."""
    answers = await http.raw(enqueue(1) + chunked(2) + enqueue(3) + NOWHERE + LAST)
    assert statuses(answers) == [201, 201, 201, 404, 200]
    assert await payloads(store) == ["1", "2", "3"]


async def test_requests_leave_no_circles(http: Http) -> None:
    """An answered request is gone at once, with its answer: none waits for the garbage collector."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await http.raw(b"".join(enqueue(n) for n in range(20)) + HEALTH + LIST + LAST)
        gc.collect()
        assert [thing for thing in gc.garbage if isinstance(thing, (PendingResponse, Response))] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def test_a_connection_is_kept(http: Http) -> None:
    """An answer says no close, and the next request on the connection is answered."""
    async with http.line(HEALTH) as (reader, writer):
        first = await reader.readuntil(b"}")
        assert b"Connection: close" not in first
        writer.write(LAST)
        assert statuses(await reader.read()) == [200]


async def test_http_1_0_is_answered_and_closed(http: Http) -> None:
    """An old client's connection ends with its answer."""
    assert statuses(await http.raw(b"GET /healthz HTTP/1.0\r\n\r\n")) == [200]


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 24\r\nContent-Length: 24\r\n",
        b"Content-Length: 24\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: +24\r\n",
        b"Content-Length: 24\n",
        b"Content-Length : 24\r\n",
        b"X: 1\r\n folded\r\nContent-Length: 24\r\n",
    ],
)
async def test_bodies_whose_end_is_not_beyond_doubt(http: Http, store: Store, lines: bytes) -> None:
    """What a proxy may read in another way is no plain request: it is refused, or read as aiohttp reads it, once."""
    answers = await http.raw(
        b"POST /v1/groups/g/jobs HTTP/1.1\r\nHost: localhost\r\n" + lines + b"\r\n" + BODY + HEALTH + LAST
    )
    assert statuses(answers)[0] in {201, 400}
    assert len(await payloads(store)) == (statuses(answers)[0] == 201)


async def test_a_client_that_reads_slowly(http: Http, store: Store) -> None:
    """While a client does not read, no more of its requests are begun; when it reads, all are answered."""
    await http.enqueue({"payload": "x" * 500_000})
    async with http.line(b"") as (reader, writer):
        transport = writer.transport
        transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(LIST * 100 + LAST)
        server = http.runner.server
        assert server is not None
        await eventually(lambda: any(connection.writing_paused for connection in server.connections))
        begun = [connection._pending for connection in server.connections if connection.writing_paused]
        assert len(begun) == 1
        transport.resume_reading()  # type: ignore[attr-defined]
        answers = await reader.read()
    assert statuses(answers) == [200] * 101


async def test_a_head_that_does_not_come(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection on which a request begins and does not go on is closed."""
    server = http.runner.server
    assert server is not None
    async with http.line(HEALTH) as (reader, writer):
        await reader.readuntil(b"}")
        [connection] = [c for c in server.connections if c.transport is not None]
        monkeypatch.setattr(connection._dispatcher, "head_s", 0.05)
        writer.write(b"GET /healthz HT")
        assert await reader.read() == b""
