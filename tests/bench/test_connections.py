"""The load generator's HTTP: what it sends, and how it reads what comes."""

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
    """The answers to n requests that are sent at once."""
    caller = await Caller().open(address)
    try:
        return await caller.calls([address.request("GET", "/jobs")] * n)
    finally:
        caller.close()


def test_request_is_whole() -> None:
    """A request has the broker's path before the API's, the host, the token, and the body's length."""
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
    """The scheme decides port and TLS where the URL does not."""
    address = BenchAddress.read(url)
    assert (address.host, address.port, address.tls is not None) == ("a", port, is_encrypted)


@pytest.mark.parametrize("url", ["redis://a", "a:8080", "http://"])
def test_address_refused(url: str) -> None:
    """Anything but http and https with a host is refused."""
    with pytest.raises(ValueError, match="is not an http"):
        BenchAddress.read(url)


async def test_answers_in_one_piece(stub: Stub) -> None:
    """Several answers in one piece are told apart."""
    assert await called(await stub(OK, LOWER, NOTHING, BUSY), 4) == [
        (200, b"ok"),
        (200, b"lower"),
        (204, b""),
        (503, b"busy"),
    ]


@pytest.mark.parametrize("size", [1, 7, 50])
async def test_answer_in_pieces(stub: Stub, size: int) -> None:
    """An answer that is cut anywhere is put together again, and does not take from the next."""
    pieces = tuple((OK + LOWER)[i : i + size] for i in range(0, len(OK + LOWER), size))
    assert await called(await stub(pieces, BUSY), 3) == [(200, b"ok"), (200, b"lower"), (503, b"busy")]


async def test_answer_without_length(stub: Stub) -> None:
    """An answer that does not say its length is a fault, not a wrong figure."""
    with pytest.raises(BenchFailed, match="no Content-Length"):
        await called(await stub(ENDLESS), 1)


async def test_answer_that_never_comes(stub: Stub) -> None:
    """A connection that the broker closes is a fault."""
    with pytest.raises(BenchFailed, match="closed the connection"):
        await called(await stub(OK, is_closing=True), 2)


async def test_no_broker(unused_tcp_port: int) -> None:
    """Where nobody listens, the address is told."""
    with pytest.raises(Unreached, match=str(unused_tcp_port)):
        await Caller().open(BenchAddress.read(f"http://127.0.0.1:{unused_tcp_port}"))


async def test_load_counts_refusals(stub: Stub) -> None:
    """A load times every call, keeps the bodies that were accepted, and counts those that were refused."""
    address, bodies = await stub(OK, BUSY, LOWER), []
    ran = await run_load(address, 1, itertools.repeat(address.request("GET", "/jobs"), 3), 10, bodies.append)
    assert (len(ran.calls_s), ran.refusals, bodies) == (3, [(503, b"busy")], [b"ok", b"lower"])
    assert 0 < ran.calls_s[0] <= ran.seconds


async def test_load_ends_in_time(stub: Stub) -> None:
    """A load that could go on for ever ends when its time is over."""
    address = await stub(*[OK] * 100_000)
    ran = await run_load(address, 2, itertools.repeat(address.request("GET", "/jobs")), 0.05)
    assert ran.calls_s
    assert not ran.refusals


async def test_load_on_a_lost_connection(stub: Stub) -> None:
    """A load whose broker goes away has no result."""
    address = await stub(OK, is_closing=True)
    with pytest.raises(BenchFailed, match="closed the connection"):
        await run_load(address, 1, itertools.repeat(address.request("GET", "/jobs")), 10)
