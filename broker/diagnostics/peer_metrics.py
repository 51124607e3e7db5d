"""Shares metrics between the brokers of one parent: a scrape reaches any of them and must show all.

Each listens on a Unix socket in the folder of the parent, sends its metrics as JSON to every client, and disconnects.

What rises must never seem to fall, or Prometheus counts it again. So each broker keeps in a file what it has reported.
One that starts in the place of a broker that died continues from there, and while one does not answer its file counts.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from broker.metrics.exposition import Family
from broker.metrics.summed import is_rising, rising, summed

_PATIENCE_S = 1.0

_log = logging.getLogger(__name__)


class PeerMetrics:
    """Broker `number` of the brokers with a socket in the folder."""

    def __init__(self, folder: str, number: int) -> None:
        self._folder = Path(folder)
        self._number = number
        self._before = self._reported(number)
        self.labels = self._folder / "groups"
        """The file of the groups that are labels of metrics."""

    @asynccontextmanager
    async def heard(self, own: Callable[[], list[Family]]) -> AsyncIterator[None]:
        """Send the metrics of `own` to the others, inside the block."""

        async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(msgspec.json.encode(self._report(own)))
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
        """The metrics of each broker by number; of one that does not answer within a second, what it reported last."""
        known = {int(path.stem) for end in ("sock", "json") for path in self._folder.glob(f"*.{end}")}
        others = sorted(known - {self._number})
        answers = await asyncio.gather(*(self._ask(number) for number in others))
        rows = {self._number: self._report(own)} | dict(zip(others, answers, strict=True))
        return dict(sorted(rows.items()))

    def _report(self, own: Callable[[], list[Family]]) -> list[Family]:
        """The metrics of this broker, with what those that it replaces had counted. What rises is kept in its file."""
        families = own()
        reported = summed({0: self._before, 1: rising(families)})
        path = self._folder / f"{self._number}.json"
        new = path.with_suffix(".new")
        try:
            new.write_bytes(msgspec.json.encode(reported))
            new.replace(path)
        except OSError as fault:
            _log.warning("the metrics of broker %d cannot be kept: %s", self._number, fault)
        return [one for one in families if not is_rising(one)] + reported

    def _reported(self, number: int) -> list[Family]:
        """What a broker has reported of what rises, when it was last asked."""
        try:
            return msgspec.json.decode((self._folder / f"{number}.json").read_bytes(), type=list[Family])
        except (OSError, msgspec.MsgspecError):
            return []

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
            return self._reported(number)
