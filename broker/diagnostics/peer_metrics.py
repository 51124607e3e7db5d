"""Shares metrics between the brokers of one parent: a scrape reaches any of them and must show all.

Each listens on a Unix socket in the folder of the parent, sends its metrics as JSON to every client, and disconnects.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from broker.metrics.exposition import Family

_PATIENCE_S = 1.0

_log = logging.getLogger(__name__)


class PeerMetrics:
    """Broker `number` of the brokers with a socket in the folder."""

    def __init__(self, folder: str, number: int) -> None:
        self._folder = Path(folder)
        self._number = number

    @asynccontextmanager
    async def heard(self, own: Callable[[], list[Family]]) -> AsyncIterator[None]:
        """Send the metrics of `own` to the others, inside the block."""

        async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(msgspec.json.encode(own()))
            writer.close()

        path = self._folder / f"{self._number}.sock"
        path.unlink(missing_ok=True)  # left by a broker that was killed
        server = await asyncio.start_unix_server(tell, path)
        try:
            yield
        finally:
            server.close()
            path.unlink(missing_ok=True)

    async def all(self, own: Callable[[], list[Family]]) -> dict[int, list[Family]]:
        """The metrics of each broker by number; one that does not answer within a second is left out."""
        others = sorted(int(path.stem) for path in self._folder.glob("*.sock") if path.stem != str(self._number))
        answers = await asyncio.gather(*(self._ask(number) for number in others))
        rows = {self._number: own()} | {n: families for n, families in zip(others, answers, strict=True) if families}
        return dict(sorted(rows.items()))

    async def _ask(self, number: int) -> list[Family]:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                reader, writer = await asyncio.open_unix_connection(self._folder / f"{number}.sock")
                try:
                    return msgspec.json.decode(await reader.read(), type=list[Family])
                finally:
                    writer.close()
        except (OSError, TimeoutError, msgspec.MsgspecError) as fault:
            _log.warning("broker %d does not send its metrics: %r", number, fault)
            return []
