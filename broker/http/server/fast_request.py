"""Parses common requests without aiohttp: the fast path.

A fast request has arrived whole and has nothing unusual. aiohttp parses every other request, byte for byte: HTTP/1.0,
chunked or large bodies, a body that has not arrived with its head, Expect, Upgrade, Connection: close, repeated or
folded headers, bytes that are not ASCII, and input that is not HTTP.
"""

import re
from enum import Enum, auto

from msgspec import Struct

from broker.http.server.header_block import LENGTH, MAX_HEAD_BYTES, NAME, parse_headers

MAX_BODY_BYTES = 1024 * 1024
"""aiohttp reads larger bodies, because it slows down a client that sends faster than the body is read."""

_LINE = re.compile(rb"(GET|POST|PUT|DELETE) (/[A-Za-z0-9/_.-]*)(?:\?([!$%&'()*+,./0-9:;=?@A-Z_a-z~-]*))? HTTP/1\.1")


class FastRequest(Struct, frozen=True):
    """A request that the fast path parsed. Header names are written Like-This."""

    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    body: bytes
    is_of_browser: bool = False
    """Whether a header names the page that sent it: see broker.http.browser_guard."""


class NotFast(Enum):
    """Why the fast path cannot parse a request: the request is unusual, or its head has not arrived."""

    UNUSUAL = auto()
    UNFINISHED = auto()


def read_fast_request(data: bytes, at: int, most_body_bytes: int = MAX_BODY_BYTES) -> tuple[FastRequest, int] | NotFast:
    """Parse the request that begins at `at`. Returns it and the position of its end, or why it is not fast."""
    end = data.find(b"\r\n\r\n", at)
    if end < 0:
        return NotFast.UNUSUAL if len(data) - at > MAX_HEAD_BYTES else NotFast.UNFINISHED
    line_end = data.find(b"\r\n", at)
    line, headers = _LINE.fullmatch(data, at, line_end), parse_headers(data[line_end:end])
    if line is None or headers is None or line_end - at > MAX_HEAD_BYTES:
        return NotFast.UNUSUAL
    begin, end = end + 4, end + 4 + headers.content_length
    if headers.content_length > most_body_bytes or len(data) < end:
        return NotFast.UNUSUAL
    method, path, query = line.groups(b"")
    return (
        FastRequest(
            method.decode(), path.decode(), query.decode(), headers.values, data[begin:end], headers.is_of_browser
        ),
        end,
    )


def whole_length(data: bytes, at: int) -> int | None:
    """The number of bytes of the request that begins at `at`; None where that is in doubt."""
    end = data.find(b"\r\n\r\n", at)
    if end < 0:
        return None
    lengths: list[bytes] = []
    for line in data[at:end].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if NAME.fullmatch(name) is None or b"\n" in value or b"\r" in value:
            return None
        if name.lower() in {b"transfer-encoding", b"upgrade", b"connection"}:
            return None
        if name.lower() == b"content-length":
            lengths.append(value.strip(b" \t"))
    if len(lengths) > 1 or any(LENGTH.fullmatch(length) is None for length in lengths):
        return None
    return end + 4 - at + sum(map(int, lengths))
