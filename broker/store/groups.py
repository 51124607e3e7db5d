"""Groups: their settings, their counts, and the list of them."""

import time
from collections.abc import Coroutine
from typing import Any

from broker.core.errors import NotFound
from broker.models.groups import Group, GroupSettings
from broker.resp.partitions import ROUND_S, Partitions
from broker.resp.resp_connection import Word
from broker.store.clock import Clock
from broker.store.format.replies import fields_of, group_of
from broker.store.pagination import PIECE, cursor_of, position


class Groups:
    """Configures and shows groups."""

    def __init__(self, partitions: Partitions, clock: Clock) -> None:
        self._partitions = partitions
        self._clock = clock

    async def configure(self, group: str, settings: GroupSettings) -> Group:
        """Replace all settings of a group; a group that does not exist is created."""
        return group_of(await self._run("configure", group, self._clock.now, group, *fields_of(settings)))

    async def show(self, name: str) -> Group:
        """A group's settings and counts. Raises NotFound."""
        rows = await self._run("groups", name, name, 1, "", "")
        if not rows:
            raise NotFound("There is no such group.")
        return group_of(rows[0])

    def _run(self, verb: str, group: str, *arguments: Word) -> Coroutine[Any, Any, Any]:
        """Run a script in the partition of the group. Raises its refusal."""
        return self._partitions.run(verb, self._partitions.of(group), *arguments)

    async def _piece(self, n: int, cursor: str) -> tuple[list[Group], str]:
        after = position(cursor)
        pages = await self._partitions.run_each("groups", [("", n + 1, *after)] * len(self._partitions.names))
        rows = sorted((row for page in pages for row in page), key=lambda row: (int(row[1]), row[0]))
        end = cursor_of(rows[n - 1][1], rows[n - 1][0]) if len(rows) > n else ""
        return [group_of(row) for row in rows[:n]], end

    async def list(  # the last method: after it `list` would no longer be the type
        self, n: int, cursor: str = ""
    ) -> tuple[list[Group], str]:
        """A page of groups by creation over all partitions, and the cursor, '' at the end.

        A page may have fewer than n when the store is slow.
        """
        end = time.monotonic() + ROUND_S
        found, cursor = await self._piece(min(n, PIECE), cursor)
        while cursor and len(found) < n and time.monotonic() < end:
            more, cursor = await self._piece(min(n - len(found), PIECE), cursor)
            found += more
        return found, cursor
