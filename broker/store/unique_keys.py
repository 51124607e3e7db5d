"""Unique keys of groups: the jobs that hold them, and how one is freed by hand."""

from collections.abc import Sequence
from typing import Any

from broker.core.timestamps import rfc3339
from broker.models.unique import HeldKey
from broker.resp.partitions import Partitions
from broker.store.clock import Clock


class UniqueKeys:
    """Shows, lists and frees unique keys."""

    def __init__(self, partitions: Partitions, clock: Clock) -> None:
        self._partitions = partitions
        self._clock = clock

    async def show(self, group: str, key: str) -> HeldKey:
        """Who holds a key. Raises NotFound for a free one."""
        return _held(await self._run(group, "show", key, 0))

    async def free(self, group: str, key: str) -> HeldKey:
        """Free a key; who held it. Its jobs stay, without a key. Raises NotFound for a free one."""
        return _held(await self._run(group, "free", key, 0))

    async def list(self, group: str, n: int, cursor: str = "") -> tuple[list[HeldKey], str]:
        """About n keys of a group, in no order, and the cursor, '' at the end."""
        at, *words = await self._run(group, "list", cursor or "0", n)
        rows = zip(*[iter(words)] * 5, strict=True)
        after = at.decode()
        return [_held(row) for row in rows], "" if after == "0" else after

    async def _run(self, group: str, what: str, key: str, n: int) -> Any:
        return await self._partitions.run(
            "unique_keys", self._partitions.of(group), self._clock.now, group, what, key, n
        )


def _held(row: Sequence[Any]) -> HeldKey:
    key, holder, status, follower, ends = row
    held = HeldKey(key=key.decode(), holder=holder.decode(), status=status.decode())
    if follower:
        held.follower = follower.decode()
    if int(ends):
        held.ends_at = rfc3339(int(ends))
    return held
