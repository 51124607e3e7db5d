"""Reads what the overview shows of groups: all of them page by page, or some by name."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from broker.core.errors import TitanError
from broker.resp.partitions import Partitions
from broker.store.clock import Clock
from broker.store.format.glances import Glanced, GroupRow, glanced

PIECE = 50
"""Groups by name in one call of glance.lua: each has up to 60 minutes in the reply."""


class Glances:
    """Runs glance.lua. A partition that does not answer has its error in the place of its rows."""

    def __init__(self, partitions: Partitions, clock: Clock) -> None:
        self._partitions = partitions
        self._clock = clock

    async def page(self, n: int, after: Mapping[int, tuple[str, str]]) -> tuple[dict[int, Glanced | TitanError], float]:
        """The next groups of some partitions by creation, n at most of each; and how long the store took, in s.

        `after`: the number of each partition, and created_at and name of the last group of its page before, or ''.
        """
        arguments = [(self._clock.now, n, *position) for position in after.values()]
        return await self._run(list(after), arguments)

    async def named(self, groups: Sequence[str]) -> tuple[dict[str, GroupRow], int, set[int]]:
        """Groups by name with all their minutes, the store's time, ms, and partitions that do not answer.

        Raises StoreUnavailable if no partition answers.
        """
        names = self._partitions.names
        own: dict[int, list[str]] = {}
        for group in groups:
            own.setdefault(names.index(self._partitions.of(group)), []).append(group)
        pieces = [(number, some[at : at + PIECE]) for number, some in own.items() for at in range(0, len(some), PIECE)]
        rows: dict[str, GroupRow] = {}
        now, away = 0, set()
        for number, some in pieces:
            replies, _ = await self._run([number], [(self._clock.now, 0, "", "", *some)], is_whole=True)
            reply = replies[number]
            if isinstance(reply, TitanError):
                away.add(number)
                if len(away) == len(names):
                    raise reply
                continue
            now = max(now, reply.now)
            rows |= {row.name: row for row in reply.rows}
        return rows, now, away

    async def _run(
        self, numbers: Sequence[int], arguments: Sequence[Sequence[Any]], *, is_whole: bool = False
    ) -> tuple[dict[int, Glanced | TitanError], float]:
        names = [self._partitions.names[number] for number in numbers]
        began = time.monotonic()
        replies = await self._partitions.run_where("glance", names, arguments)
        took_s = time.monotonic() - began
        return {
            number: reply if isinstance(reply, TitanError) else glanced(reply, is_whole=is_whole)
            for number, reply in zip(numbers, replies, strict=True)
        }, took_s
