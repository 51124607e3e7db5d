"""What a body may be: its type, its size, its pace."""

import gzip
import json
from typing import Any

import pytest

from broker.core.settings import BrokerSettings
from tests.api.client import Http

JOBS = "/v1/groups/g/jobs"
BODY = json.dumps({"jobs": [{"image": "i"}]}).encode()
HEAD = b"POST /v1/groups/g/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

small = pytest.mark.parametrize(
    "settings", [BrokerSettings(key_prefix="small", max_body_bytes=2048, body_timeout_s=0.1)]
)


async def _nothing_is_there(http: Http) -> bool:
    return (await http("GET", JOBS)).json == {"jobs": []}


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/jsonp",
        "application/json5",
        "json",
        "x" * 1000,
    ],
)
async def test_enqueue_with_another_type(http: Http, kind: str) -> None:
    """A JSON body that says it is something else is a 415."""
    reply = await http("POST", JOBS, BODY, Content_Type=kind)
    assert (reply.status, reply.problem.code) == (415, "unsupported_type")
    assert await _nothing_is_there(http)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity", "x"])
async def test_enqueue_with_a_content_encoding(http: Http, encoding: str) -> None:
    """A packed body is a 415 and is never unpacked."""
    reply = await http("POST", JOBS, gzip.compress(BODY), Content_Type="application/json", Content_Encoding=encoding)
    assert (reply.status, reply.problem.code) == (415, "unsupported_type")
    assert await _nothing_is_there(http)


@pytest.mark.parametrize("verb", ["start", "touch", "success", "error", "release", "wait"])
async def test_report_with_another_type(http: Http, verb: str) -> None:
    """A report's body is JSON; only that of fail may be a form."""
    [job] = await http.running()
    kinds = ["text/plain", "multipart/form-data; boundary=x"]
    for kind in kinds if verb == "error" else [*kinds, "application/x-www-form-urlencoded"]:
        reply = await http("POST", f"{JOBS}/{job['id']}/{verb}", b"{}", Content_Type=kind)
        assert (reply.status, reply.problem.code) == (415, "unsupported_type"), kind


@small
@pytest.mark.parametrize("size", [2049, 3000, 100_000])
async def test_enqueue_with_a_large_body(http: Http, size: int) -> None:
    """A body above max_body_bytes is a 413, be its length told or not."""
    body = BODY.ljust(size)

    async def pieces() -> Any:
        for at in range(0, size, 512):
            yield body[at : at + 512]

    for sent in (body, pieces()):
        reply = await http("POST", JOBS, sent, Content_Type="application/json")
        assert (reply.status, reply.problem.code) == (413, "too_large")
    assert await _nothing_is_there(http)


@small
async def test_enqueue_with_a_body_just_small_enough(http: Http) -> None:
    """A body of max_body_bytes is taken."""
    assert (await http("POST", JOBS, BODY.ljust(2048), Content_Type="application/json")).status == 201


@small
async def test_enqueue_with_a_length_over_all_bounds(http: Http) -> None:
    """A large Content-Length is refused before the body comes."""
    async with http.line(HEAD + b"Content-Length: 999999999999\r\n\r\n") as (reader, _):
        assert b" 413 " in await reader.readline()


@small
async def test_enqueue_with_a_body_that_stops_coming(http: Http) -> None:
    """A body that pauses for too long is a 408, and the connection is closed."""
    answer = await http.raw(HEAD + b"Content-Length: 100\r\n\r\n" + b'{"jobs":')
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close" in answer
    assert b'"code":"too_slow"' in answer
    assert await _nothing_is_there(http)


async def test_enqueue_with_a_body_that_breaks_off(http: Http) -> None:
    """A client that hangs up in the middle of its body has enqueued nothing."""
    async with http.line(HEAD + b"Content-Length: 100\r\n\r\n" + BODY) as (_, writer):
        await writer.drain()
    assert await _nothing_is_there(http)


@pytest.mark.parametrize("chunk", [b"zz\r\n{}\r\n0\r\n\r\n", b"-5\r\n{}\r\n", b"2\r\n{}x\r\n0\r\n\r\n"])
async def test_enqueue_with_broken_chunks(http: Http, chunk: bytes) -> None:
    """A body whose chunks are broken is a 400 with the error body."""
    answer = await http.raw(HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunk)
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert b'"code":"invalid"' in answer
    assert await _nothing_is_there(http)


async def test_enqueue_that_asks_first(http: Http) -> None:
    """A client that expects 100-continue is told to go on, and then answered."""
    head = HEAD + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    async with http.line(head) as (reader, writer):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert (await reader.read()).startswith(b"HTTP/1.1 201 ")


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [(JOBS, 10**9, 413), ("/v1/groups/a.b/jobs", 50, 400), (f"{JOBS}/x/log", 50, 404)],
)
async def test_refusal_of_a_client_that_asks_first(http: Http, path: str, length: int, status: int) -> None:
    """A client that expects 100-continue and is refused learns it before it sends its body."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    async with http.line(head.encode()) as (reader, _):
        assert (await reader.readline()).startswith(b"HTTP/1.1 %d " % status)


async def test_unknown_expectation(http: Http) -> None:
    """An Expect that nobody knows does no harm; where there is no route the answer still has the error body."""
    [job] = (await http("POST", JOBS, BODY, Expect="miracles")).json["jobs"]
    assert job["status"] == "queued"
    assert (await http("POST", "/v1/nothing", b"x", Expect="miracles")).problem.code in ("invalid", "not_found")


@pytest.mark.parametrize(
    "text",
    [
        b"nonsense\r\n\r\n",
        b"GET /v1/jobs HTTP/9.9\r\n\r\n",
        b"GET /v1/jobs HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxx",
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=["line", "version", "header", "field", "path", "smuggling", "lengths", "negative", "tls"],
)
async def test_request_that_is_not_http(http: Http, text: bytes) -> None:
    """What is not HTTP is a 400 with the error body, and the connection is closed."""
    answer = await http.raw(text)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head.partition(b"\r\n")[0]
    assert json.loads(body)["error"]["code"] == "invalid"


@pytest.mark.parametrize(
    "line", [b"OPTIONS *", b"CONNECT x:80", b"GET http://x/v1/jobs", b"BREW /v1/jobs", b"GET //v1/jobs"]
)
async def test_request_line_that_is_odd(http: Http, line: bytes) -> None:
    """An odd request line never ends in a 500."""
    answer = await http.raw(line + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert int(answer.split()[1]) in (200, 400, 404, 405, 421)
