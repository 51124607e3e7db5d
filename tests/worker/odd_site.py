"""A site that does what no site should, one thing a path."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_OK = b"HTTP/1.1 200 OK\r\n"
_ANSWERS = {
    "/bytes": _OK + b"Content-Length: 3\r\n\r\n\xff\x00\x80",
    "/retry": _OK + b"Retry-After: \xff soon\r\nContent-Length: 0\r\n\r\n",
    "/after": _OK + b"Content-Length: 0\r\n\r\n",
    "/hang up": b"",
    "/break off": _OK + b"Content-Length: 100\r\n\r\nonly this",
    "/garbage": b"\x00\x01\x02 what is this\r\n\r\n",
    "/broken encoding": _OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain",
}


@asynccontextmanager
async def odd_site() -> AsyncIterator[str]:
    """Its address, inside the block."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await _answer(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for task in tuple(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    size = next((int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length:")), 0)
    body = (await reader.readexactly(size)).decode()
    path = head.split()[1].replace("%20", " ")
    if path == "/beside":
        while not Path(body).exists():  # noqa: ASYNC240
            await asyncio.sleep(0.02)
        path = "/after"
    if path.startswith("/status/"):
        writer.write(f"HTTP/1.1 {path[8:]} So\r\nLocation: /after\r\nContent-Length: 0\r\n\r\n".encode())
    while path in ("/silent", "/endless"):
        if path == "/endless":
            writer.write(b"x" if writer.transport.get_write_buffer_size() else _OK + b"\r\n" + b"x" * 1000)
        await writer.drain()
        await asyncio.sleep(0.05)
    writer.write(_ANSWERS.get(path, b""))
    await writer.drain()
