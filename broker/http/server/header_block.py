"""Parses the headers of a request, and remembers the blocks that clients repeat.

A client sends the same Host, User-Agent, Accept and so on with each request. Such a block is parsed once. All other
headers are cut out of the block first and never remembered: their values may differ in each request (Titan-Lease,
Idempotency-Key, Traceparent) or be secret (Authorization, Cookie).
"""

import re

from msgspec import Struct

MAX_HEAD_BYTES = 8190
"""The limit of aiohttp for one line."""
BROWSERS = frozenset({"Origin", "Sec-Fetch-Site"})
"""Headers that only browsers send."""
NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
LENGTH = re.compile(rb"[0-9]{1,10}")

_REPEATED = (
    b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language", b"connection", b"content-type",
    b"content-length", b"origin", b"sec-fetch-site",
)  # fmt: skip
"""Headers that may be remembered: a client repeats them, and they are not secret."""
_OTHER_LINE = re.compile(
    rb"\r\n(?!(?i:%b):)(%b):[ \t]*([ -~]*)[ \t]*(?=\r\n|\Z)" % (b"|".join(_REPEATED), NAME.pattern)
)
"""A whole line with any other header: its name and value."""
_UNUSUAL = frozenset({"Transfer-Encoding", "Expect", "Upgrade", "Content-Encoding", "Te", "Trailer", "Http2-Settings"})
_MAX_HEADERS = 64
_MAX_REMEMBERED = 1024


class Headers(Struct, frozen=True):
    """The headers of a request. Names are written Like-This."""

    values: dict[str, str]
    content_length: int
    is_of_browser: bool


_remembered: dict[bytes, Headers] = {}


def parse_headers(block: bytes) -> Headers | None:
    """The headers of a block of lines, each with its CRLF in front. None when one is unusual: aiohttp must parse it."""
    headers = _remembered.get(block)
    if headers is not None:
        return headers
    if len(block) - 2 > MAX_HEAD_BYTES:
        return None
    parts = _OTHER_LINE.split(block)  # text, name, value, text, name, value, … text
    if len(parts) == 1:
        return _parse(block)
    rest = b"".join(parts[::3])
    headers = _remembered.get(rest) or _parse(rest)
    if headers is None:
        return None
    values = headers.values.copy()
    for i in range(1, len(parts), 3):
        title = parts[i].decode().title()
        if title in values or title in _UNUSUAL:
            return None
        values[title] = parts[i + 1].decode().rstrip(" ")
    return Headers(values, headers.content_length, headers.is_of_browser) if len(values) <= _MAX_HEADERS else None


def _parse(block: bytes) -> Headers | None:
    """Parse a block line by line. Remember it only if each of its headers may be remembered."""
    values: dict[str, str] = {}
    lines = block.split(b"\r\n")[1:]
    if len(lines) > _MAX_HEADERS:
        return None
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or NAME.fullmatch(name) is None:
            return None
        title, value = name.decode().title(), value.strip(b" \t")
        if title in values or title in _UNUSUAL or not _is_printable(value):
            return None
        if (title == "Connection" and value.lower() != b"keep-alive") or (
            title == "Content-Length" and LENGTH.fullmatch(value) is None
        ):
            return None
        values[title] = value.decode()
    if "Host" not in values:
        return None
    headers = Headers(values, int(values.get("Content-Length", "0")), not BROWSERS.isdisjoint(values))
    if all(title.lower().encode() in _REPEATED for title in values):
        _remember(block, headers)
    return headers


def _remember(block: bytes, headers: Headers) -> None:
    """Keep the headers of a block. When there are too many blocks, the oldest is dropped."""
    if len(_remembered) >= _MAX_REMEMBERED:
        del _remembered[next(iter(_remembered))]
    _remembered[block] = headers


def _is_printable(value: bytes) -> bool:
    return value.isascii() and value.decode().isprintable()
