"""The partitions of the key space: which one holds a group, and how a call reaches one, some or all of them."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from broker.core.errors import TitanError
from broker.resp import keys
from broker.resp.replies_to_errors import refusal
from broker.resp.resp_connection import Word
from broker.resp.scripts import ScriptCall, Scripts
from broker.resp.topology import Topology

ROUND_S = 0.5
"""What asks the store again and again, as a round over the partitions, goes on no longer than this, in s."""


class Partitions:
    """Runs scripts in the partitions that they concern. `names` are the partitions' names, KEYS[1] of every script."""

    def __init__(self, topology: Topology, *, is_plain: bool = False) -> None:
        self.names = topology.partitions
        self._scripts = Scripts(topology, is_plain=is_plain)

    def on_late(self, tell: Callable[[], None]) -> None:
        """Have `tell` called when scripts ran later than what was sent behind them."""
        self._scripts.on_late = tell

    def of(self, group: str) -> str:
        """The partition that holds the group."""
        return self.names[keys.partition_of(group, len(self.names))]

    def round(self, turn: int, groups: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each partition from `turn` on, with those of the groups that it holds; without groups all partitions.

        It ends early when it took ROUND_S: who asks for jobs is answered in time though each partition is slow.
        """
        end = time.monotonic() + ROUND_S
        for name in self.names[turn:] + self.names[:turn]:
            here = tuple(group for group in groups if self.of(group) == name)
            if here or not groups:
                yield name, here
            if time.monotonic() > end:
                return

    async def run(self, verb: str, partition: str, *arguments: Word) -> Any:
        """One script in one partition. Raises its refusal."""
        return await self._scripts.run(verb, partition, *arguments)

    async def send(self, partition: str, commands: Sequence[Sequence[Word]]) -> None:
        """Plain commands in one partition. Raises the first fault of any of them."""
        await self._scripts.send(partition, commands)

    async def field(self, partition: str, key: str, name: str) -> bytes | None:
        """One field of a hash of a partition."""
        return await self._scripts.field(partition, key, name)

    async def run_each(self, verb: str, arguments: Sequence[Sequence[Word]]) -> list[Any]:
        """One script in every partition, with its own arguments in each; the replies in the partitions' order."""
        calls = [ScriptCall(verb, name, own) for name, own in zip(self.names, arguments, strict=True)]
        return await self._scripts.run_all(calls)

    async def run_items(
        self, verb: str, first: Sequence[Word], items: Sequence[Sequence[Word]]
    ) -> list[Any | TitanError]:
        """A many-job script: one call a partition. Each item begins with its group.

        The replies stand in the order of the items; a refused item has its refusal.
        """
        rows: list[Any] = [None] * len(items)
        places: dict[str, list[int]] = {}
        for i, item in enumerate(items):
            places.setdefault(self.of(str(item[0])), []).append(i)
        calls = [ScriptCall(verb, p, (*first, *(word for i in own for word in items[i]))) for p, own in places.items()]
        for own, reply in zip(places.values(), await self._scripts.run_all(calls), strict=True):
            for i, row in zip(own, [reply] if isinstance(reply, TitanError) else reply, strict=True):
                rows[i] = outcome(row)
        return rows


def outcome(row: Any) -> Any:
    """What became of one item: a text is a refusal that stood among other items."""
    return refusal(row.decode()) if isinstance(row, bytes) else row
