"""A stub of a broker, which sends the bytes that a test defines."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from broker.bench.http_client import BenchAddress

Stub = Callable[..., Awaitable[BenchAddress]]


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    """Start a server that answers each request with the next of some texts, or with the parts of a tuple."""
    servers: list[asyncio.Server] = []
    serving: set[asyncio.Task[None]] = set()

    async def start(*answers: bytes | tuple[bytes, ...], is_closing: bool = False) -> BenchAddress:
        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving.add(asyncio.create_task(_serve(answers, reader, writer, is_closing=is_closing)))

        servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        return BenchAddress.read(f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}")

    yield start
    for server in servers:
        server.close()
    await asyncio.gather(*serving)


async def _serve(
    answers: tuple[bytes | tuple[bytes, ...], ...],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    is_closing: bool,
) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            for piece in (answer,) if isinstance(answer, bytes) else answer:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.001)  # so that the network does not join the parts
        if not is_closing:
            await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
