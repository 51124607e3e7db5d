"""The load generator's HTTP client: its requests, and how it parses responses."""

import itertools

import pytest

from broker.bench.closed_loop import run_load
from broker.bench.http_client import BenchAddress, BenchFailed, BenchResponse, Caller, Unreached
from tests.bench.conftest import Stub

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\nok"
LOWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nlower"
NOTHING = b"HTTP/1.1 204 No Content\r\n\r\n"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


async def called(address: BenchAddress, n: int) -> list[BenchResponse]:
    """The responses to n requests that are sent together."""
    caller = await Caller().open(address)
    try:
        return await caller.calls([address.request("GET", "/jobs")] * n)
    finally:
        caller.close()


def test_request_is_whole() -> None:
    """A request has the broker's path before the API's path, the host, the token and the length of the body."""
    address = BenchAddress.read("http://broker:8080/titan/", "secret")
    request = address.request("POST", "/jobs/finish", {"jobs": []}, "Titan-Lease: x\r\n").decode()
    head, body = request.split("\r\n\r\n")
    assert head.split("\r\n") == [
        "POST /titan/v1/jobs/finish HTTP/1.1",
        "Host: broker:8080",
        "Authorization: Bearer secret",
        "Titan-Lease: x",
        "Content-Type: application/json",
        "Content-Length: 11",
    ]
    assert body == '{"jobs":[]}'


@pytest.mark.parametrize(
    ("url", "port", "is_encrypted"),
    [("http://a", 80, False), ("https://a", 443, True), ("http://u:p@a:1/b", 1, False)],
)
def test_address_of_url(url: str, port: int, *, is_encrypted: bool) -> None:
    """The scheme decides TLS, and the port if the URL has none."""
    address = BenchAddress.read(url)
    assert (address.host, address.port, address.tls is not None) == ("a", port, is_encrypted)


@pytest.mark.parametrize("url", ["redis://a", "a:8080", "http://"])
def test_address_refused(url: str) -> None:
    """A URL without a host, or with another scheme than http and https, is refused."""
    with pytest.raises(ValueError, match="is not an http"):
        BenchAddress.read(url)


async def test_answers_in_one_piece(stub: Stub) -> None:
    """Several responses in one read are separated."""
    assert await called(await stub(OK, LOWER, NOTHING, BUSY), 4) == [
        (200, b"ok"),
        (200, b"lower"),
        (204, b""),
        (503, b"busy"),
    ]


@pytest.mark.parametrize("size", [1, 7, 50])
async def test_answer_in_pieces(stub: Stub, size: int) -> None:
    """A response that arrives in parts is joined, and the next response stays separate."""
    pieces = tuple((OK + LOWER)[i : i + size] for i in range(0, len(OK + LOWER), size))
    assert await called(await stub(pieces, BUSY), 3) == [(200, b"ok"), (200, b"lower"), (503, b"busy")]


async def test_answer_without_length(stub: Stub) -> None:
    """A response without a length is an error, not a wrong result."""
    with pytest.raises(BenchFailed, match="no Content-Length"):
        await called(await stub(ENDLESS), 1)


async def test_answer_that_never_comes(stub: Stub) -> None:
    """A connection that the broker closes is an error."""
    with pytest.raises(BenchFailed, match="closed the connection"):
        await called(await stub(OK, is_closing=True), 2)


async def test_no_broker(unused_tcp_port: int) -> None:
    """The error names the address where no broker listens."""
    with pytest.raises(Unreached, match=str(unused_tcp_port)):
        await Caller().open(BenchAddress.read(f"http://127.0.0.1:{unused_tcp_port}"))


async def test_load_counts_refusals(stub: Stub) -> None:
    """A load measures every call, passes on the bodies of accepted calls, and keeps refusals."""
    address, bodies = await stub(OK, BUSY, LOWER), []
    ran = await run_load(address, 1, itertools.repeat(address.request("GET", "/jobs"), 3), 10, bodies.append)
    assert (len(ran.calls_s), ran.refusals, bodies) == (3, [(503, b"busy")], [b"ok", b"lower"])
    assert 0 < ran.calls_s[0] <= ran.seconds


async def test_load_ends_in_time(stub: Stub) -> None:
    """A load with endless requests ends at its time limit."""
    address = await stub(*[OK] * 100_000)
    ran = await run_load(address, 2, itertools.repeat(address.request("GET", "/jobs")), 0.05)
    assert ran.calls_s
    assert not ran.refusals


async def test_load_on_a_lost_connection(stub: Stub) -> None:
    """A load whose broker closes the connection has no result."""
    address = await stub(OK, is_closing=True)
    with pytest.raises(BenchFailed, match="closed the connection"):
        await run_load(address, 1, itertools.repeat(address.request("GET", "/jobs")), 10)
