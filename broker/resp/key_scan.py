"""Walks the names of the keys of a server."""

from collections.abc import AsyncIterator
from typing import cast

from broker.resp.replies_to_errors import translate_errors
from broker.resp.topology import Server

SCANNED = 1000
"""Keys that one SCAN looks at."""


async def scan(server: Server, pattern: str) -> AsyncIterator[list[str]]:
    """The names of keys, piece by piece; a name may come twice. Raises StoreUnavailable."""
    cursor = 0
    while True:
        cursor, names = await translate_errors(server.redis.scan(cursor, pattern, SCANNED))
        if names:
            yield [cast("bytes", name).decode(errors="replace") for name in names]
        if not cursor:
            return


def literal(name: str) -> str:
    """A name as a pattern of SCAN that matches only itself."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^" else letter for letter in name)
