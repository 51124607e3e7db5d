"""The partitions of the key space: which one has a group, and calls of scripts in one, some or all of them."""

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
"""The longest time of a series of calls, such as one round over the partitions, in s."""


class Partitions:
    """Runs scripts in their partitions. `names` are the names of the partitions, KEYS[1] of every script."""

    def __init__(self, topology: Topology, *, is_plain: bool = False) -> None:
        self.names = topology.partitions
        self._scripts = Scripts(topology, is_plain=is_plain)

    def on_reload(self, callback: Callable[[], None]) -> None:
        """Call this after scripts were loaded again, and so ran later than commands that were sent after them."""
        self._scripts.on_reload = callback

    def of(self, group: str) -> str:
        """The partition that has the group."""
        return self.names[keys.partition_of(group, len(self.names))]

    def round(self, first: int, groups: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each partition that has some of the groups, with those groups; without groups all partitions.

        It starts at partition `first`, and ends early after ROUND_S, so that a `next` is answered in time even if each
        partition is slow.
        """
        end = time.monotonic() + ROUND_S
        for name in self.names[first:] + self.names[:first]:
            own = tuple(group for group in groups if self.of(group) == name)
            if own or not groups:
                yield name, own
            if time.monotonic() > end:
                return

    async def run(self, verb: str, partition: str, *arguments: Word) -> Any:
        """Run a script in one partition. Raises its refusal."""
        return await self._scripts.run(verb, partition, *arguments)

    async def send(self, partition: str, commands: Sequence[Sequence[Word]]) -> None:
        """Send plain commands in one partition. Raises the first error of any of them."""
        await self._scripts.send(partition, commands)

    async def field(self, partition: str, key: str, name: str) -> bytes | None:
        """One field of a hash in a partition."""
        return await self._scripts.field(partition, key, name)

    async def run_each(self, verb: str, arguments: Sequence[Sequence[Word]]) -> list[Any]:
        """Run a script in every partition, with separate arguments in each; the replies in order of partitions."""
        calls = [ScriptCall(verb, name, own) for name, own in zip(self.names, arguments, strict=True)]
        return await self._scripts.run_all(calls)

    async def run_items(
        self, verb: str, first: Sequence[Word], items: Sequence[Sequence[Word]]
    ) -> list[Any | TitanError]:
        """Run a script that takes many items: one call a partition. The first word of an item is its group.

        The replies are in the order of the items. A refused item has its refusal as reply.
        """
        rows: list[Any] = [None] * len(items)
        rows_of: dict[str, list[int]] = {}
        for i, item in enumerate(items):
            rows_of.setdefault(self.of(str(item[0])), []).append(i)
        calls = [ScriptCall(verb, p, (*first, *(word for i in own for word in items[i]))) for p, own in rows_of.items()]
        for own, reply in zip(rows_of.values(), await self._scripts.run_all(calls), strict=True):
            for i, row in zip(own, [reply] if isinstance(reply, TitanError) else reply, strict=True):
                rows[i] = outcome(row)
        return rows


def outcome(row: Any) -> Any:
    """The outcome of one item of a reply. Bytes are the text of a refusal."""
    return refusal(row.decode()) if isinstance(row, bytes) else row
