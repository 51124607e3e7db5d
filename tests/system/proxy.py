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
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()

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
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)

    def scripts(self) -> Counter[bytes]:
        """The calls of scripts, by their whole text."""
        return Counter({text: n for text, n in self.sent.items() if text.startswith(b"EVALSHA ")})

    def _run(self, is_there: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        is_there.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        server.close()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, onward = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.close()
            return
        asked: set[bytes] = set()
        forth, back = self._forth(reader, onward, asked), self._back(there, writer, asked)
        pumps = [asyncio.create_task(forth), asyncio.create_task(back)]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, onward):
                with suppress(OSError):
                    end.close()

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
