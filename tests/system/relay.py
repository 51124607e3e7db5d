"""What stands between two programs and passes bytes on, in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self


class Relay:
    """Listens on `port` of 127.0.0.1. A subclass says in `_serve` what happens to each connection."""

    def __init__(self) -> None:
        self.port = 0
        self._links: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event

    @contextmanager
    def up(self) -> Iterator[Self]:
        """Serves inside the block."""
        is_up = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._listen(is_up)), daemon=True)
        thread.start()
        assert is_up.wait(10)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection. It is cancelled at the end of the block; `writer` is closed afterwards."""
        raise NotImplementedError

    async def _listen(self, is_up: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        is_up.set()
        await self._stop.wait()
        # asyncio loses a connection that it has accepted and not yet begun to serve when its server closes.
        self._loop.remove_reader(server.sockets[0].fileno())
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for link in self._links:
                link.cancel()
            await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
        server.close()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(self._serve(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)
        # A task that is cancelled before its first step never gets to its own `finally`.
        link.add_done_callback(lambda _: writer.transport.abort())


async def either_ends(*pumps: asyncio.Task[None]) -> None:
    """Wait until one of these ends, and cancel the rest."""
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
