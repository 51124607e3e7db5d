"""A proxy between a broker and its store that counts each command that passes, and can lose the answers."""

import asyncio
from collections import Counter
from contextlib import suppress

import hiredis

from tests.system.relay import Relay, either_ends


class Proxy(Relay):
    """Passes everything on to a Unix socket.

    `sent` counts the commands that came, by their whole text. While `is_losing`, the answer to
    a script closes its connection.
    """

    def __init__(self, target: str) -> None:
        super().__init__()
        self.sent: Counter[bytes] = Counter()
        self.is_losing = False
        self._target = target

    def scripts(self) -> Counter[bytes]:
        """The calls of scripts, by their whole text."""
        return Counter({text: n for text, n in self.sent.items() if text.startswith(b"EVALSHA ")})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on until one end closes or the proxy stops; both ends are gone then, sent or not."""
        with suppress(OSError):
            there, onward = await asyncio.open_unix_connection(self._target)
            try:
                asked: set[bytes] = set()
                pumps = [self._forth(reader, onward, asked), self._back(there, writer, asked)]
                await either_ends(*map(asyncio.create_task, pumps))
            finally:
                onward.transport.abort()

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
