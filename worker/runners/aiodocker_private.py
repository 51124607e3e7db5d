"""Every private part of aiodocker that the container runner uses, each under a public name.

aiodocker may change these parts in any release. No other module of the worker uses a private part of a library, and
`tests/unit/test_aiodocker_private.py` checks each. After an update, compare this module with aiodocker's stream.py.
"""

import base64
import json
from typing import NamedTuple

from aiodocker.containers import DockerContainer
from aiodocker.stream import Stream

_STAT = "X-Docker-Container-Path-Stat"


def mark_closed(stream: Stream) -> None:
    """Mark a stream as closed. Without it aiodocker warns of a stream that could not be opened."""
    stream._closed = True  # noqa: SLF001  # its own `close` returns early for such a stream


def close_stdin(stream: Stream) -> None:
    """Close the input of a container; its output continues. Does nothing for a stream that is not open."""
    response = stream._resp  # noqa: SLF001  # its own `close` closes both directions
    if response and response.connection and response.connection.transport:
        response.connection.transport.write_eof()


class FileStat(NamedTuple):
    """What an engine says of a file: its size, and when it was changed, as text."""

    size_bytes: int
    changed_at: str


async def stat_of(container: DockerContainer, path: str) -> FileStat:
    """What a file of a container is. aiodocker can only read a file as a whole. Raises DockerError."""
    query = container.docker._query(f"containers/{container.id}/archive", "HEAD", params={"path": path})  # noqa: SLF001
    async with query as response:
        found = json.loads(base64.b64decode(response.headers[_STAT]))
        return FileStat(int(found["size"]), str(found.get("mtime")))
