"""The fast path: a request that it parses is the request that aiohttp's parser reads, to the byte."""

import asyncio
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from broker.http.server.fast_request import FastRequest, NotFast, read_fast_request, whole_length

LINES = st.sampled_from(
    (
        b"Host: x", b"Content-Length: 2", b"content-length: 2", b"Content-Length:2", b"Content-Length: 02",
        b"Content-Length: +2", b"Content-Length: 2, 2", b"Transfer-Encoding: chunked", b"Connection: keep-alive",
        b"Connection: close", b"Expect: 100-continue", b"X-A: b\x00c", b"X-A: \xff", b" folded", b"X-A", b": x",
        b"Titan-Lease: abc", b"Accept: */*", b"X-A: a\nContent-Length: 2", b"X A: b", b"Upgrade: websocket",
        b"Authorization: Bearer t", b"authorization:Bearer u", b"Authorization: Bearer t \t", b"titan-lease:\t abc",
        b"Traceparent: 00-1-2-01", b"HOST: y", b"TE: trailers", b"X-A:", b"X-A: b\r",
    )
)  # fmt: skip
FIRST = st.sampled_from(
    (
        b"GET /v1/jobs?n=1 HTTP/1.1", b"POST /v1/groups/g/jobs HTTP/1.1", b"POST  /v1/jobs HTTP/1.1", b"GET /v1/jobs",
        b"GET /v1/jobs HTTP/1.0", b"get /v1/jobs HTTP/1.1", b"GET http://x/ HTTP/1.1", b"GET /a#b HTTP/1.1",
        b"GET /\xff HTTP/1.1", b"GET /a%20b HTTP/1.1", b"GET /?q=%zz HTTP/1.1", b"GET /a\tb HTTP/1.1",
    )
)  # fmt: skip


def by_aiohttp(data: bytes) -> list[Any]:
    """The requests that aiohttp's parser finds."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(BaseProtocol(loop), loop, 65536, auto_decompress=False)
        messages, _, _ = parser.feed_data(data)
        return [(message, payload) for message, payload in messages]
    finally:
        loop.close()


@given(FIRST, st.lists(LINES, max_size=5), st.sampled_from((b"", b"{}", b"{}GET /x HTTP/1.1\r\n\r\n")))
def test_a_fast_request_is_the_one_that_aiohttp_reads(first: bytes, lines: list[bytes], rest: bytes) -> None:
    """To aiohttp each fast request is the same request, with the same end."""
    data = b"\r\n".join([first, *lines, b"", b""]) + rest
    found = read_fast_request(data, 0)
    if isinstance(found, NotFast):
        return
    fast, end = found
    [(message, payload), *_] = by_aiohttp(data[:end])
    assert (message.method, message.url.raw_path, message.url.raw_query_string) == (
        fast.method,
        fast.path,
        fast.query_string,
    )
    assert dict(fast.headers) == {name.title(): value for name, value in message.headers.items()}
    assert not message.chunked
    assert not message.should_close
    assert payload.is_eof()
    assert (b"" if not fast.body else payload.read_nowait(-1)) == fast.body
    assert whole_length(data, 0) in {end, None}


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_request_that_has_not_arrived(cut: int) -> None:
    """Without the end of its head a request is unfinished; without its body it is aiohttp's to wait for."""
    whole = b"POST /v1/jobs/touch HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    found = read_fast_request(whole[:-cut], 0)
    assert found is (NotFast.UNUSUAL if cut <= 2 else NotFast.UNFINISHED)


def test_a_head_without_end_is_unusual() -> None:
    """Nobody's head is waited for longer than a head may be."""
    assert read_fast_request(b"GET /" + b"x" * 10_000, 0) is NotFast.UNUSUAL


def test_a_request_behind_another() -> None:
    """Each is read from where the one before ended."""
    first, second = b"GET /healthz HTTP/1.1\r\n\r\n", b"GET /readyz?x=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    assert read_fast_request(first + second, len(first)) == (
        FastRequest("GET", "/readyz", "x=1", {"Host": "x"}, b""),
        len(first + second),
    )
