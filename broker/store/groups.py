"""Groups: their settings, their counts, the list of them, and their end."""

import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from broker.core.errors import Changed, Invalid, NotFound, StoreUnavailable
from broker.core.events import event
from broker.core.words import counted
from broker.models.groups import Group, GroupChanges, GroupSettings
from broker.resp import keys
from broker.resp.key_scan import literal, scan
from broker.resp.partitions import ROUND_S, Partitions
from broker.resp.resp_connection import Word
from broker.resp.topology import Topology
from broker.store.clock import Clock
from broker.store.format.group_changes import SETTINGS_AT, changes_of, matches, tag_of
from broker.store.format.group_replies import fields_of, group_of
from broker.store.modes import NO_MODE, Modes, mode_of
from broker.store.pagination import PIECE, cursor_of, position
from broker.store.settlement import SETTLED, count_settled
from broker.store.tally import Tally

DELETED = 500
"""Jobs that one script deletes with their group."""
DELETE_S = 5.0
"""How long one call deletes jobs of a group, s; a repeat continues. Clients wait for an answer for 10 s."""


_log = logging.getLogger(__name__)


class TaggedGroup(NamedTuple):
    """A group, and the tag of its settings: two states with the same settings have the same tag."""

    group: Group
    tag: str


class Groups:
    """Configures, adjusts, shows and deletes groups."""

    def __init__(self, topology: Topology, partitions: Partitions, clock: Clock, tally: Tally, modes: Modes) -> None:
        self._topology = topology
        self._modes = modes
        self._partitions = partitions
        self._clock = clock
        self._tally = tally

    async def configure(self, group: str, settings: GroupSettings, by: str = "") -> Group:
        """Replace all settings of a group; a group that does not exist is created. A pause notes `by` whom.

        Raises Invalid for a dead_letter_to from which copies would come back, or of another partition.
        """
        self._check_partition(group, settings.dead_letter_to)
        was_paused, row = await self._run("configure", group, self._clock.now, group, by, *fields_of(settings))
        return self._noted(self._group_of(row), by, was_paused=was_paused == 1)

    async def adjust(self, group: str, changes: GroupChanges, by: str = "", if_match: str = "") -> TaggedGroup:
        """Change some settings of a group; a group that does not exist is created. A pause notes `by` whom.

        `if_match`: tags, as the header If-Match has them. Raises Changed when the group has none of them, and Invalid
        as `configure` does.
        """
        self._check_partition(group, changes.dead_letter_to)
        expected: list[Word] = []
        if if_match:
            row = await self._row(group)
            if row is None or not matches(if_match, tag_of(row)):
                raise Changed("The group is not as If-Match says: read it again.")
            expected = list(row[SETTINGS_AT:])
        arguments = (self._clock.now, group, by, len(expected) if if_match else "", *expected, *changes_of(changes))
        was_paused, row = await self._run("adjust", group, *arguments)
        tagged = self._tagged(row)
        self._noted(tagged.group, by, was_paused=was_paused == 1)
        return tagged

    async def delete_group(self, name: str) -> None:
        """Delete a group with its finished jobs and their logs. Nothing of it stays, and its name may be used again.

        Raises NotFound, WrongState if a job is not finished, and StoreUnavailable when DELETE_S was too short for all
        jobs. An enqueue meanwhile has its job: the group then stays, without the jobs that were deleted before.
        """
        end = time.monotonic() + DELETE_S
        deleted_at, left = await self._delete_some(name)
        while left:
            if time.monotonic() > end:
                jobs = counted(left, "job")
                raise StoreUnavailable(f"The group still has {jobs}: repeat the call, and it continues.")
            deleted_at, left = await self._delete_some(name)
        self._modes.note(name, NO_MODE)
        await self._forget_answers(name, deleted_at, end)

    async def _delete_some(self, name: str) -> tuple[int, int]:
        """Delete DELETED jobs at most, and the group with its last job: when, ms, and how many jobs are left."""
        now, left, unsettled = await self._run("delete_group", name, self._clock.now, name, DELETED)
        if unsettled:
            count_settled(self._tally, await self._run("settle", name, self._clock.now, SETTLED))
        return now, left

    async def _forget_answers(self, name: str, before: int, end: float) -> None:
        """Delete the idempotency records of a group that was deleted at this time, ms.

        It looks at the names of all keys of a server. Those that it has not reached at the end of its time expire.
        """
        p = self._partitions.of(name)
        begin = keys.answer(p, name, "")
        at = len(begin) - len(f"{name}:")
        async for found in scan(self._topology.of(p), f"{literal(begin)}*"):
            await self._run("forget_answers", name, before, *(key[at:] for key in found))
            if time.monotonic() > end:
                return

    async def show_tagged(self, name: str) -> TaggedGroup:
        """A group with the tag of its settings. Raises NotFound."""
        row = await self._row(name)
        if row is None:
            raise NotFound("There is no such group.")
        tagged = self._tagged(row)
        if tagged.group.dead_letter_to is UNSET:
            return tagged
        p = self._partitions.of(name)
        copied = int(await self._partitions.field(p, keys.dead_letters(p), name) or 0)
        return tagged._replace(group=msgspec.structs.replace(tagged.group, dead_letters=copied))

    async def show(self, name: str) -> Group:
        """A group's settings and counts. Raises NotFound."""
        return (await self.show_tagged(name)).group

    async def _row(self, name: str) -> Sequence[Any] | None:
        rows = await self._run("groups", name, name, 1, "", "")
        return rows[0] if rows else None

    def _check_partition(self, group: str, dead_letter_to: str | UnsetType | None) -> None:
        if dead_letter_to and self._partitions.of(dead_letter_to) != self._partitions.of(group):
            raise Invalid(f"The group {dead_letter_to} is in another partition.", fields="group.dead_letter_to")

    def _noted(self, group: Group, by: str, *, was_paused: bool) -> Group:
        """The group; its new jobs get at once what its settings say. The begin and the end of a pause are events."""
        self._modes.note(group.name, mode_of(group))
        if group.paused != was_paused:
            self._tally.noted("paused" if group.paused else "resumed", group.name, by=by)
            keys = {"group": group.name, "by": by}
            if group.paused:
                _log.info("the group %s is paused", group.name, extra=event("group.paused", **keys))
            else:
                _log.info("the group %s is resumed", group.name, extra=event("group.resumed", **keys))
        return group

    def _tagged(self, row: Sequence[Any]) -> TaggedGroup:
        return TaggedGroup(self._group_of(row), tag_of(row))

    def _group_of(self, row: Sequence[Any]) -> Group:
        """A group, with the settings that have no effect in the order of its partition."""
        group = group_of(row)
        is_asleep = group.fair_keys is True and not self._modes.is_fair(self._partitions.of(group.name))
        return msgspec.structs.replace(group, asleep=["fair_keys"]) if is_asleep else group

    def _run(self, verb: str, group: str, *arguments: Word) -> Coroutine[Any, Any, Any]:
        """Run a script in the partition of the group. Raises its refusal."""
        return self._partitions.run(verb, self._partitions.of(group), *arguments)

    async def _piece(self, n: int, cursor: str) -> tuple[list[Group], str]:
        after = position(cursor)
        pages = await self._partitions.run_each("groups", [("", n + 1, *after)] * len(self._partitions.names))
        rows = sorted((row for page in pages for row in page), key=lambda row: (int(row[1]), row[0]))
        end = cursor_of(rows[n - 1][1], rows[n - 1][0]) if len(rows) > n else ""
        return [self._group_of(row) for row in rows[:n]], end

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
