"""A proxy between a broker and its store that counts each command that passes, and can lose the answers."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import hiredis


class Proxy:
    """Listens on a port of 127.0.0.1, in a thread of its own, and passes everything on to a Unix socket.

    `sent` counts the commands that came, by their whole text. While `is_losing`, the answer to
    a script closes its connection.
    """

    def __init__(self, target: str) -> None:
        self.sent: Counter[bytes] = Counter()
        self.is_losing = False
        self.port = 0
        self._target = target
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._links: set[asyncio.Task[None]] = set()

    @contextmanager
    def up(self) -> Iterator["Proxy"]:
        """Serves inside the block."""
        is_there = threading.Event()
        thread = threading.Thread(target=self._run, args=(is_there,), daemon=True)
        thread.start()
        is_there.wait(10)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(10)

    def scripts(self) -> Counter[bytes]:
        """The calls of scripts, by their whole text."""
        return Counter({text: n for text, n in self.sent.items() if text.startswith(b"EVALSHA ")})

    def _run(self, is_there: threading.Event) -> None:
        asyncio.run(self._listen(is_there))

    async def _listen(self, is_there: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        is_there.set()
        await self._stop.wait()
        server.close()
        await asyncio.gather(*self._links)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(self._serve(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on until one end closes or the proxy stops; both ends are gone then, sent or not."""
        try:
            there, onward = await asyncio.open_unix_connection(self._target)
        except OSError:
            await self._abort(writer)
            return
        asked: set[bytes] = set()
        forth, back = self._forth(reader, onward, asked), self._back(there, writer, asked)
        pumps = [asyncio.create_task(forth), asyncio.create_task(back)]
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait([*pumps, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in (*pumps, stopped):
            task.cancel()
        await asyncio.gather(*pumps, stopped, return_exceptions=True)
        await self._abort(writer, onward)

    @staticmethod
    async def _abort(*ends: asyncio.StreamWriter) -> None:
        for end in ends:
            end.transport.abort()
            with suppress(OSError):
                await end.wait_closed()

    async def _forth(self, reader: asyncio.StreamReader, onward: asyncio.StreamWriter, asked: set[bytes]) -> None:
        commands = hiredis.Reader()
        while piece := await reader.read(2**16):
            commands.feed(piece)
            while (command := commands.gets()) is not False:
                self.sent[b" ".join(command)] += 1
                asked.add(command[0].upper())
            onward.write(piece)
            await onward.drain()

    async def _back(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: set[bytes]) -> None:
        while piece := await there.read(2**16):
            if self.is_losing and b"EVALSHA" in asked:
                return
            writer.write(piece)
            await writer.drain()
