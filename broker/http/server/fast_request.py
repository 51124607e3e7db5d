"""Plain requests: those that can be read whole out of what has arrived, with nothing unusual about them.

What is not plain, down to the last doubt, is left to aiohttp, byte for byte: HTTP/1.0, chunked or large bodies, those
that have not arrived whole with their head, Expect, Upgrade, Connection: close, doubled or folded headers, bytes that
are not ASCII, and all that is no HTTP.
"""

import re
from enum import Enum, auto
from functools import lru_cache

from msgspec import Struct

MAX_HEAD_BYTES = 8190
"""As aiohttp has it for a line."""
MAX_BODY_BYTES = 1024 * 1024
"""Larger bodies are read by aiohttp, which holds back a client that sends faster than it is read."""

BROWSERS = frozenset({"Origin", "Sec-Fetch-Site"})
"""Headers that only browsers send."""
_MAX_HEADERS = 64
_LINE = re.compile(rb"(GET|POST|PUT|DELETE) (/[A-Za-z0-9/_.-]*)(?:\?([!$%&'()*+,./0-9:;=?@A-Z_a-z~-]*))? HTTP/1\.1")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNUSUAL = frozenset(
    {b"transfer-encoding", b"expect", b"upgrade", b"content-encoding", b"te", b"trailer", b"http2-settings"}
)
_LENGTH = re.compile(rb"[0-9]{1,10}")


class FastRequest(Struct, frozen=True):
    """A plain request. Header names are written Like-This."""

    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    body: bytes
    is_of_browser: bool = False
    """Whether it says where a browser had it from: see broker.http.browser_guard."""


class NotFast(Enum):
    """Why there is no plain request: it is unusual, or its head has not arrived."""

    UNUSUAL = auto()
    UNFINISHED = auto()


def read_fast_request(data: bytes, at: int, most_body_bytes: int = MAX_BODY_BYTES) -> tuple[FastRequest, int] | NotFast:
    """The request that begins at `at`, and where it ends."""
    end = data.find(b"\r\n\r\n", at)
    if end < 0:
        return NotFast.UNUSUAL if len(data) - at > MAX_HEAD_BYTES else NotFast.UNFINISHED
    line_end = data.find(b"\r\n", at)
    line, head = _LINE.fullmatch(data, at, line_end), _headers(data[line_end + 2 : end])
    if line is None or head is None or line_end - at > MAX_HEAD_BYTES:
        return NotFast.UNUSUAL
    headers, length, is_of_browser = head
    begin, end = end + 4, end + 4 + length
    if length > most_body_bytes or len(data) < end:
        return NotFast.UNUSUAL
    method, path, query = line.groups(b"")
    return FastRequest(method.decode(), path.decode(), query.decode(), headers, data[begin:end], is_of_browser), end


def whole_length(data: bytes, at: int) -> int | None:
    """How many bytes the request that begins at `at` has in all; None where that cannot be told beyond doubt."""
    end = data.find(b"\r\n\r\n", at)
    if end < 0:
        return None
    lengths: list[bytes] = []
    for line in data[at:end].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if _NAME.fullmatch(name) is None or b"\n" in value or b"\r" in value:
            return None
        if name.lower() in {b"transfer-encoding", b"upgrade", b"connection"}:
            return None
        if name.lower() == b"content-length":
            lengths.append(value.strip(b" \t"))
    if len(lengths) > 1 or any(_LENGTH.fullmatch(length) is None for length in lengths):
        return None
    return end + 4 - at + sum(map(int, lengths))


@lru_cache(maxsize=1024)
def _headers(block: bytes) -> tuple[dict[str, str], int, bool] | None:
    """The headers, the Content-Length, and whether a browser sent them; None when one is unusual.

    Clients send the same ones again and again.
    """
    headers: dict[str, str] = {}
    lines = block.split(b"\r\n") if block else []
    if len(block) > MAX_HEAD_BYTES or len(lines) > _MAX_HEADERS:
        return None
    for line in lines:
        name, colon, value = line.partition(b":")
        low, value = name.lower(), value.strip(b" \t")
        if not colon or _NAME.fullmatch(name) is None or low in _UNUSUAL or not _is_printable(value):
            return None
        if (low == b"connection" and value.lower() != b"keep-alive") or (
            low == b"content-length" and _LENGTH.fullmatch(value) is None
        ):
            return None
        title = name.decode().title()
        if title in headers:
            return None
        headers[title] = value.decode()
    if "Host" not in headers:
        return None
    return headers, int(headers.get("Content-Length", "0")), not BROWSERS.isdisjoint(headers)


def _is_printable(value: bytes) -> bool:
    return value.isascii() and value.decode().isprintable()
