"""A proxy before a server, to cut the network between it and some of its clients: packets are lost, nothing closes."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class CutProxy:
    """Listens on a port of 127.0.0.1, in a thread of its own, and passes everything on to another port.

    Clients are recognized by the address that they connect from, such as 127.0.0.9. `cut` loses all that
    these send and are sent, from now on; `heal` closes their connections, so that they connect again.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._cut: set[str] = set()
        self._lost: set[asyncio.StreamWriter] = set()
        self._links: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event

    @contextmanager
    def up(self) -> Iterator["CutProxy"]:
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

    def cut(self, *clients: str) -> None:
        """Lose all packets of clients at these addresses."""
        self._cut |= set(clients)

    def heal(self) -> None:
        """Lose nothing any more."""
        self._cut.clear()
        self._loop.call_soon_threadsafe(self._close_lost)

    def _close_lost(self) -> None:
        for writer in self._lost:
            writer.transport.abort()
        self._lost.clear()

    async def _listen(self, is_up: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        is_up.set()
        await self._stop.wait()
        server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(self._serve(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = writer.get_extra_info("peername")[0]
        onward = None
        try:
            there, onward = await asyncio.open_connection("127.0.0.1", self._target)
            pumps = [self._pump(reader, onward, client, writer), self._pump(there, writer, client, writer)]
            tasks = [asyncio.create_task(pump) for pump in pumps]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        except OSError:
            pass
        finally:
            for end in (writer, onward):
                if end is not None:
                    end.transport.abort()

    async def _pump(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, client: str, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while piece := await source.read(2**16):
                if client in self._cut:
                    self._lost.add(writer)
                if writer in self._lost:
                    await self._stop.wait()
                to.write(piece)
                await to.drain()
