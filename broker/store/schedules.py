"""Schedules of groups: puts, shows, lists, pauses, resumes and removes them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from broker.core.errors import Changed, Invalid, NotFound
from broker.core.timestamps import milliseconds
from broker.models.schedules import MOST_IN_ALL, MOST_SCHEDULES, Fire, NewSchedule, Schedule
from broker.resp import keys
from broker.resp.partitions import Partitions
from broker.resp.resp_connection import Word
from broker.schedules.errors import TimetableError
from broker.schedules.timetable import Due, Timetable, tzdata_version
from broker.store.clock import Clock
from broker.store.format.schedules import (
    StoredSchedule,
    fire_of,
    have_same_times,
    shown,
    spec_of,
    spec_text,
    stored_of,
    timetable_of,
)

_NO_REVISION = "0"
_TRIES = 5
_PAGE = 100
"""How often a change is tried when others change the schedule meanwhile."""
_PAGE = 100
MOST_PASSED = 1000
"""Times that passed, as far as they are counted."""
_OF_PAUSE = ("paused_at", "paused_by", "paused_because", "note", "failures")
NO_SCHEDULE = "There is no such schedule in this group."


class Put(NamedTuple):
    """A schedule after a put, and whether it is new."""

    schedule: Schedule
    is_new: bool


class Change(NamedTuple):
    """What schedule.lua is to do: when the schedule fires next, unless it keeps that, and other values of fields."""

    what: str
    due: Due | None = None
    fields: Mapping[str, str] = MappingProxyType({})
    keeps: str = ""
    """`score`: when it fires; `nothing`: not even for which times it fired; of `move` the score that was read."""
    passed: str = ""


def timetable_in(group: str, name: str, spec: NewSchedule) -> Timetable:
    """The times of a schedule that a client gave. Raises Invalid, which names the field."""
    try:
        return timetable_of(group, name, spec)
    except TimetableError as error:
        field = f"schedule.{error.field}"
        if isinstance(spec.cron, str):
            field = field.replace("cron[0]", "cron")
        raise Invalid(f"{field}: {error.message}", fields=field) from None


class Schedules:
    """Keeps schedules. Times are ms."""

    def __init__(self, partitions: Partitions, clock: Clock) -> None:
        self._partitions = partitions
        self._clock = clock

    async def now(self) -> int:
        """The time of the store, ms."""
        partition = self._partitions.names[0]
        [now] = await self._partitions.run("schedules", partition, self._clock.now, "due", "", "", 0)
        return int(now)

    async def image_of(self, group: str) -> str:
        """The image of a group, for jobs that name none; or ''."""
        p = self._partitions.of(group)
        return (await self._partitions.field(p, keys.group(p, group), "image") or b"").decode()

    async def show(self, group: str, name: str) -> Schedule:
        """One schedule. Raises NotFound."""
        return shown(await self.stored(group, name))

    async def stored(self, group: str, name: str) -> StoredSchedule:
        """One schedule as it is stored. Raises NotFound."""
        return (await self.now_and_stored(group, name))[1]

    async def now_and_stored(self, group: str, name: str) -> tuple[int, StoredSchedule]:
        """The time of the store, and a schedule. Raises NotFound."""
        now, found = await self._look(group, name)
        if found is None:
            raise NotFound(NO_SCHEDULE)
        return now, found

    async def fires(self, group: str, name: str, n: int) -> list[Fire]:
        """The last fires, the newest first. Raises NotFound."""
        _, *lines = await self._read(group, "fires", name, n)
        return [fire_of(line.decode()) for line in lines]

    async def list(self, group: str, n: int, cursor: str = "") -> tuple[list[Schedule], str]:
        """At most n schedules of a group by name, and the cursor, '' at the end."""
        _, names, *rows = await self._read(group, "list", cursor, n)
        found = [stored_of(row) for row in rows]
        is_more = found and (names == n or len(found) < names)
        return [shown(stored) for stored in found], found[-1].name if is_more else ""

    async def all_of(self, group: str) -> AsyncIterator[StoredSchedule]:
        """All schedules of a group by name."""
        cursor = ""
        while True:
            _, names, *rows = await self._read(group, "list", cursor, _PAGE)
            for row in rows:
                yield stored_of(row)
            if not rows or (names < _PAGE and len(rows) == names):
                return
            cursor = rows[-1][1].decode()

    async def put(self, group: str, name: str, spec: NewSchedule, by: str = "", if_match: str = "") -> Put:
        """Create or replace a schedule; the same one again changes nothing. Raises Invalid, Changed, LimitReached.

        `if_match`: the revision that it must have, '*' for any, '0' if it must not exist; '' for all of these.
        """
        times = timetable_in(group, name, spec)
        for _ in range(_TRIES):
            now, found = await self._look(group, name)
            _check_revision(found, if_match)
            change = _new(spec, times, now, by) if found is None else _replaced(found, spec, times, now, by)
            if change is None and found is not None:
                return Put(shown(found), is_new=False)
            if change is not None and await self._change(group, name, found, change):
                return Put(await self.show(group, name), is_new=found is None)
        raise Changed("The schedule was changed meanwhile.")

    async def pause(self, group: str, name: str, note: str = "", by: str = "") -> Schedule:
        """Stop firing; of a paused one nothing changes. Raises NotFound."""
        return await self._changed(group, name, lambda stored, now: _paused(stored, now, note, by))

    async def resume(self, group: str, name: str) -> Schedule:
        """Fire again, from now on: the times of the pause count as skipped. Raises NotFound."""
        return await self._changed(group, name, _resumed)

    async def remove(self, group: str, name: str) -> None:
        """Remove a schedule; its jobs stay. Raises NotFound."""
        for _ in range(_TRIES):
            found = await self.stored(group, name)
            if await self._change(group, name, found, Change("remove")):
                return
        raise Changed("The schedule was changed meanwhile.")

    async def restore(self, group: str, name: str, fields: Mapping[str, str]) -> bool:
        """Bring in a schedule that was exported; whether it is new: one that exists already stays as it is.

        Raises Invalid for a zone that this broker does not know.
        """
        spec, state = spec_of(fields["spec"]), fields["state"]
        next_at = fields.get("next_at")
        times = timetable_in(group, name, spec)
        due = times.next(int(next_at) - 1) if state == "active" and next_at else None
        given = {**fields, "tzdata": tzdata_version()}
        if due is not None:
            given.pop("next_at", None)
        return await self._change(group, name, None, Change("put", due, given))

    async def refresh_all(self, partition: str) -> int:
        """Set the next times again that a broker with an older tz database computed; how many have changed.

        Those of a newer one stay. Raises StoreUnavailable.
        """
        changed = seen = 0
        while True:
            now, *rows = await self._partitions.run("schedules", partition, self._clock.now, "all", "", seen, _PAGE)
            if not rows:
                return changed
            seen += len(rows)
            for found in map(stored_of, rows):
                if found.fields.get("tzdata", "") < tzdata_version():
                    changed += await self.refresh(found, int(now))

    async def refresh(self, found: StoredSchedule, now: int) -> bool:
        """Set when an active schedule fires, by the time zones that this broker knows; whether it has changed."""
        if found.state != "active" or found.next_at is None:
            return False
        handled = found.fields.get("handled")
        due = found.timetable.next(int(handled) if handled else min(found.next_at, now) - 1)
        change = Change("move", due, {"tzdata": tzdata_version()}, keeps=str(found.score))
        return due is not None and await self._change(found.group, found.name, found, change)

    async def _changed(self, group: str, name: str, change_of: Any) -> Schedule:
        for _ in range(_TRIES):
            now, found = await self.now_and_stored(group, name)
            change = change_of(found, now)
            if change is None:
                return shown(found)
            if await self._change(group, name, found, change):
                return await self.show(group, name)
        raise Changed("The schedule was changed meanwhile.")

    async def _change(self, group: str, name: str, found: StoredSchedule | None, change: Change) -> bool:
        """Whether the schedule was still as it was found."""
        due, words = change.due, [word for pair in change.fields.items() for word in pair]
        times: list[Word] = ["", ""] if due is None else [due.fires_at, due.at]
        version = found.version if found else ""
        try:
            given = (name, change.what, version, *times, change.keeps, change.passed)
            await self._partitions.run(
                "schedule",
                self._partitions.of(group),
                self._clock.now,
                group,
                *given,
                MOST_SCHEDULES,
                MOST_IN_ALL,
                *words,
            )
        except Changed:
            return False
        except NotFound:
            if change.what == "remove":
                raise
            return False
        return True

    async def _look(self, group: str, name: str) -> tuple[int, StoredSchedule | None]:
        now, *rows = await self._read(group, "show", name, 1)
        return int(now), stored_of(rows[0]) if rows else None

    async def _read(self, group: str, what: str, name: str, n: int) -> Sequence[Any]:
        reply: Sequence[Any] = await self._partitions.run(
            "schedules", self._partitions.of(group), self._clock.now, what, group, name, n
        )
        return reply


def _check_revision(found: StoredSchedule | None, if_match: str) -> None:
    if not if_match or (if_match == "*" and found is not None):
        return
    if found is None:
        if if_match == _NO_REVISION:
            return
        raise Changed("There is no such schedule; If-Match names a revision of it.")
    if if_match == _NO_REVISION:
        raise Changed(f"There is a schedule with this name already, of revision {found.fields['revision']}.")
    if found.fields["revision"] != if_match:
        raise Changed(f"The schedule has revision {found.fields['revision']}, not {if_match}.")


def _new(spec: NewSchedule, times: Timetable, now: int, by: str) -> Change:
    return _put(_Put(spec, {}, now, by, is_paused=bool(spec.paused)), first_due(spec, times, now))


def _replaced(found: StoredSchedule, spec: NewSchedule, times: Timetable, now: int, by: str) -> Change | None:
    """The change of a schedule that exists; None for none."""
    was_paused, before = found.state == "paused", found.spec
    is_paused = was_paused if spec.paused is None else spec.paused
    if spec_text(spec) == found.fields["spec"] and is_paused == was_paused:
        return None
    gone = dict.fromkeys(_OF_PAUSE, "")
    fields = {} if is_paused and was_paused else gone
    passed = _passed(found, now) if was_paused and not is_paused else ""
    changes = _Put(spec, fields, now, by, is_paused=is_paused, was_paused=was_paused, passed=passed)
    if not have_same_times(before, spec):
        return _put(changes, first_due(spec, times, now), keeps="nothing")
    is_over = spec.max_fires is not None and int(found.fields.get("fires", 0)) >= spec.max_fires
    if found.state == "active" and not is_paused:
        return _put(changes, None, keeps="" if is_over else "score")
    return _put(changes, None if is_over else _still_to_come(found, now, is_paused=is_paused))


def _still_to_come(found: StoredSchedule, now: int, *, is_paused: bool) -> Due | None:
    """The next time of a schedule that keeps its times: after a pause one that has not come, with its jitter."""
    if found.next_at is None:
        return found.timetable.next(now)
    return found.timetable.to_come(found.next_at - 1, found.next_at - 1 if is_paused else now)


class _Put(NamedTuple):
    """What a put writes, but for when the schedule fires."""

    spec: NewSchedule
    fields: dict[str, str]
    now: int
    by: str
    is_paused: bool = False
    was_paused: bool = False
    passed: str = ""


def _put(put: _Put, due: Due | None, keeps: str = "") -> Change:
    is_paused = put.is_paused and due is not None
    written = {
        "spec": spec_text(put.spec),
        "state": "paused" if is_paused else "active" if due or keeps == "score" else "done",
        "pause_after": str(put.spec.pause_after or ""),
        "tzdata": tzdata_version(),
        "ended_at": "",
    } | ({} if keeps == "score" else {"handled": ""})
    if is_paused and not put.was_paused:
        written |= {"paused_at": str(put.now), "paused_by": put.by}
    if is_paused and due is not None:
        return Change("put", None, put.fields | written | {"next_at": str(due.at)}, keeps, put.passed)
    return Change("put", due, put.fields | written, keeps, put.passed)


def first_due(spec: NewSchedule, times: Timetable, now: int) -> Due:
    """The first time of a new schedule: one that is single may have passed, within its catch_up. Raises Invalid."""
    due = times.next(now if spec.at is None else milliseconds(spec.at) - 1)
    if due is None:
        field = "schedule.ends_at" if spec.ends_at else "schedule"
        raise Invalid("The schedule would never fire.", fields=field)
    if spec.at is not None and due.fires_at < now - spec.catch_up * 1000:
        raise Invalid("schedule.at passed longer ago than catch_up, so it would never fire.", fields="schedule.at")
    return due


def _paused(found: StoredSchedule, now: int, note: str, by: str) -> Change | None:
    if found.state != "active":
        return None
    fields = {"state": "paused", "paused_at": str(now), "paused_by": by, "note": note, "paused_because": ""}
    return Change("pause", None, fields | {"next_at": found.fields.get("next_at", "")})


def _resumed(found: StoredSchedule, now: int) -> Change | None:
    if found.state != "paused":
        return None
    due = _still_to_come(found, now, is_paused=False)
    fields = dict.fromkeys((*_OF_PAUSE, "handled"), "")
    fields |= {"state": "active" if due else "done", "tzdata": tzdata_version()}
    return Change("resume", due, fields, passed=_passed(found, now))


def _passed(found: StoredSchedule, now: int) -> str:
    """The times that a pause skipped, as the scripts take them."""
    passed = found.timetable.missed(found.next_at - 1, now, MOST_PASSED) if found.next_at is not None else []
    return f"paused {passed[0].at} {len(passed)}" if passed else ""
