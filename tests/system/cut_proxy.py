"""A proxy before a server, to cut the network between it and some of its clients: packets are lost, nothing closes."""

import asyncio
from contextlib import suppress

from tests.system.relay import Relay, either_ends


class CutProxy(Relay):
    """Passes everything on to another port.

    Clients are recognized by the address that they connect from, such as 127.0.0.9. `cut` loses all that
    these send and are sent, from now on; `heal` closes their connections, so that they connect again.
    """

    def __init__(self, target: int) -> None:
        super().__init__()
        self._target = target
        self._cut: set[str] = set()
        self._lost: set[asyncio.StreamWriter] = set()

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

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = writer.get_extra_info("peername")[0]
        with suppress(OSError):
            there, onward = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                pumps = [self._pump(reader, onward, client, writer), self._pump(there, writer, client, writer)]
                await either_ends(*map(asyncio.create_task, pumps))
            finally:
                onward.transport.abort()

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
