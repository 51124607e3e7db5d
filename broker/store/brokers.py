"""The brokers of a store: kept in its first partition, each as long as it announces itself."""

import msgspec

from broker.core.timestamps import rfc3339
from broker.models.brokers import KEPT_S, BrokerAnnouncement, LiveBroker
from broker.resp.partitions import Partitions
from broker.store.clock import Clock

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(BrokerAnnouncement).decode


class Brokers:
    """Brokers by name. Any method may raise StoreUnavailable."""

    def __init__(self, partitions: Partitions, clock: Clock) -> None:
        self._partitions = partitions
        self._partition = partitions.names[0]
        self._clock = clock

    async def announce(self, broker: BrokerAnnouncement) -> None:
        """Know the broker for another KEPT_S."""
        await self._announce(broker.name, _encode(broker).decode())

    async def forget(self, name: str) -> None:
        """Forget a broker that stops."""
        await self._announce(name, "")

    async def list(self, n: int, after: str = "") -> tuple[list[LiveBroker], str]:
        """A page of the brokers by name, and the name after which the list continues, '' at the end."""
        arguments = (self._clock.now, n + 1, after, KEPT_S * 1000)
        rows = await self._partitions.run("brokers", self._partition, *arguments)
        found = [_broker(int(seen_at), said) for seen_at, said in rows[:n]]
        return found, found[-1].name if len(rows) > n else ""

    async def _announce(self, name: str, said: str) -> None:
        arguments = (self._clock.now, name, said, KEPT_S * 1000)
        await self._partitions.run("announce_broker", self._partition, *arguments)


def _broker(seen_at: int, said: bytes) -> LiveBroker:
    announcement = _decode(said)
    return LiveBroker(seen_at=rfc3339(seen_at), **msgspec.structs.asdict(announcement))
