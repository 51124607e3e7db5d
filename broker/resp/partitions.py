"""The partitions of the key space: which one has a group, and calls of scripts in one, some or all of them."""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
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

    def before_loading(self, look: Callable[[Iterable[str]], Awaitable[None]]) -> None:
        """Have `look` called with the partitions before scripts are loaded there; what it raises is raised instead."""
        self._scripts.before_loading = look

    def of(self, group: str) -> str:
        """The partition that has the group."""
        return self.names[keys.partition_of(group, len(self.names))]

    def round(
        self, order: Iterable[str], groups: Sequence[str], began: float | None = None
    ) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each partition that has some of the groups, with those groups; without groups all partitions. In this order.

        It ends early after ROUND_S, so that a `next` is answered in time even if each partition is slow. `began`, s by
        the monotonic clock: when another partition was asked before.
        """
        end = (began or time.monotonic()) + ROUND_S
        if began is not None and time.monotonic() > end:
            return
        found: dict[str, list[str]] = {}
        for group in groups:
            found.setdefault(self.of(group), []).append(group)
        for name in order:
            if not groups or name in found:
                yield name, tuple(found.get(name, ()))
            if time.monotonic() > end:
                return

    def rotated(self, turn: int) -> tuple[str, ...]:
        """All partitions, beginning with another one each turn."""
        first = turn % len(self.names)
        return self.names[first:] + self.names[:first]

    async def run(self, verb: str, partition: str, *arguments: Word) -> Any:
        """Run a script in one partition. Raises its refusal."""
        return await self._scripts.run(verb, partition, *arguments)

    async def send(self, partition: str, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """The replies to plain commands in one partition. Raises the first error of any of them."""
        return await self._scripts.send(partition, commands)

    async def read(self, partition: str, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """The replies to up to 32 plain commands that only read, in one partition. Raises StoreUnavailable."""
        return await self._scripts.read(partition, commands)

    async def field(self, partition: str, key: str, name: str) -> bytes | None:
        """One field of a hash in a partition."""
        return await self._scripts.field(partition, key, name)

    async def run_each(self, verb: str, arguments: Sequence[Sequence[Word]]) -> list[Any]:
        """Run a script in every partition, with separate arguments in each; the replies in order of partitions."""
        calls = [ScriptCall(verb, name, own) for name, own in zip(self.names, arguments, strict=True)]
        return await self._scripts.run_all(calls)

    async def run_in(self, partition: str, calls: Sequence[tuple[str, Sequence[Word]]]) -> list[Any]:
        """Run scripts in one partition, in order, in one pipeline. A refusal is the reply of its call."""
        return await self._scripts.run_all([ScriptCall(verb, partition, own) for verb, own in calls])

    async def run_where(self, verb: str, names: Sequence[str], arguments: Sequence[Sequence[Word]]) -> list[Any]:
        """One script in some partitions; a server that does not answer has StoreUnavailable as reply."""
        calls = [ScriptCall(verb, name, own) for name, own in zip(names, arguments, strict=True)]
        return await self._scripts.run_all(calls, keeps_faults=True)

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
