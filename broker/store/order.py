"""The order in which groups are served: by their oldest jobs, or in turns. It is the same in all partitions."""

from broker.models.settings import OrderName
from broker.resp import keys
from broker.resp.partitions import Partitions
from broker.store.modes import ORDER, Modes

PIECE = 500
"""Groups that one call of the script looks at, at most."""


class Order:
    """Sets the order and reads it. Any method may raise StoreUnavailable."""

    def __init__(self, partitions: Partitions, modes: Modes) -> None:
        self._partitions = partitions
        self._modes = modes

    async def show(self) -> OrderName:
        """The order. It is fair when all partitions have that."""
        found = [await self._partitions.field(p, keys.modes(p), ORDER) for p in self._partitions.names]
        return "fair" if all(found) else "fifo"

    async def set(self, order: OrderName) -> None:
        """Set the order. A call that fails on its way may be repeated.

        Other brokers serve in the old order for up to 5 s. Jobs stay where they are.
        """
        for p in self._partitions.names:
            position = await self._set(p, order, "")
            self._modes.note_order(p, is_fair=order == "fair")
            while position:
                position = await self._set(p, order, position)

    async def _set(self, partition: str, order: OrderName, position: str) -> str:
        reply: bytes = await self._partitions.run("set_order", partition, order, PIECE, position)
        return reply.decode()
