"""A file of schedules: reads it, says all that is wrong with it, and makes the broker have what it says.

    [[schedules]]
    group = "mail"
    name = "digest"
    cron = "30 7 * * 1-5"
    zone = "Europe/Berlin"
    job.image = "digest"

Group and name apart a schedule has the fields of the API.
"""

import re
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal, Protocol

import click
import msgspec
from msgspec import UNSET, Struct

from broker.cli.client_options import error_text, pages
from broker.core.errors import Invalid, NotFound
from broker.core.timestamps import EXAMPLE, milliseconds, rfc3339
from broker.http.request.decoding import decode
from broker.models.fields import MAX_JOBS
from broker.models.schedules import SCHEDULE, NewSchedule, Schedule, SchedulePut
from broker.schedules.timetable import TimetableError
from broker.store.format.schedules import timetable_of

Schedules = dict[str, dict[str, NewSchedule]]
"""Schedules by group and name."""
_GROUP = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NAME = re.compile(SCHEDULE)
_PREFIX = re.compile(r"\bschedule\.(?=\w)")
_MOST_FAULTS = 20
_TIMES = ("at", "starts_at", "ends_at")


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    schedules: list[dict[str, Any]]


class ScheduleClient(Protocol):
    """The calls that a file needs."""

    async def schedules(self, group: str, n: int = 50, cursor: str = "") -> tuple[list[Schedule], str]:
        """A page of the schedules of a group."""

    async def put_schedule(self, group: str, name: str, given: NewSchedule) -> Schedule:
        """Create or replace a schedule."""

    async def remove_schedule(self, group: str, name: str) -> None:
        """Remove a schedule."""


class ScheduleChange(Struct, frozen=True):
    """What became of a schedule, or with --dry-run would."""

    group: str
    name: str
    what: Literal["created", "changed", "unchanged", "removed"]


def read_schedules(file: Path) -> Schedules:
    """The schedules of a file in TOML or JSON. Raises UsageError, which names each field that is not valid."""
    try:
        content = file.read_bytes()
        given = msgspec.json.decode(content) if file.suffix == ".json" else tomllib.loads(content.decode())
        tables = msgspec.convert(given, _File).schedules
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file}: {error}") from None
    faults: list[str] = []
    found: Schedules = {}
    for number, table in enumerate(tables):
        group, name = (str(table.pop(word, "")) for word in ("group", "name"))
        try:
            schedules = found.setdefault(group, {})
            schedules[name] = _read(group, name, table, is_known=name in schedules)
        except (Invalid, TimetableError) as error:
            text = error_text(error) if isinstance(error, Invalid) else str(error)
            place = " ".join(filter(None, [f"schedules[{number}]", group, name]))
            faults.append(f"{place}: {_PREFIX.sub('', text)}")
    if faults:
        more = f"\nand {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
        raise click.UsageError(f"{file}: " + "\n".join(faults[:_MOST_FAULTS]) + more)
    return found


async def apply_schedules(
    client: ScheduleClient, wanted: Schedules, *, prune: bool, dry_run: bool
) -> AsyncIterator[ScheduleChange]:
    """Make the broker have these schedules. With `prune` others of the same groups are removed, after all else.

    A change that is refused ends this; what was changed before stays, and the same file can be applied again.
    """
    removed: list[ScheduleChange] = []
    for group, schedules in wanted.items():
        before = await _stored(client, group)
        for name, given in schedules.items():
            yield await _apply(client, before.get(name), ScheduleChange(group, name, "created"), given, dry_run=dry_run)
        removed += [ScheduleChange(group, name, "removed") for name in before if prune and name not in schedules]
    for change in removed:
        if not dry_run:
            await client.remove_schedule(change.group, change.name)
        yield change


async def _apply(
    client: ScheduleClient, before: Schedule | None, change: ScheduleChange, given: NewSchedule, *, dry_run: bool
) -> ScheduleChange:
    if dry_run:
        is_same = before is not None and _is_same(before, given)
    else:
        after = await client.put_schedule(change.group, change.name, given)
        is_same = before is not None and before.revision == after.revision
    return msgspec.structs.replace(change, what="created" if before is None else "unchanged" if is_same else "changed")


async def _stored(client: ScheduleClient, group: str) -> dict[str, Schedule]:
    found: dict[str, Schedule] = {}
    try:
        async for schedules in pages(lambda cursor: client.schedules(group, MAX_JOBS, cursor)):
            found |= {schedule.name: schedule for schedule in schedules}
    except NotFound:  # the first schedule creates the group
        return {}
    return found


def _is_same(stored: Schedule, given: NewSchedule) -> bool:
    """Whether a schedule is as it is given. One that does not say `paused` leaves that as it is."""
    same_as: dict[str, Any] = {
        name: None if getattr(stored, name, UNSET) is UNSET else getattr(stored, name)
        for name in NewSchedule.__struct_fields__
    }
    same_as |= {"paused": None if given.paused is None else stored.state == "paused", "offset": stored.offset or 0}
    return _plain(NewSchedule(**same_as)) == _plain(given)


def _plain(given: NewSchedule) -> dict[str, Any]:
    """A schedule as values that compare, with its times in UTC."""
    fields = _values(given)
    return fields | {name: rfc3339(milliseconds(fields[name])) for name in _TIMES if fields[name]}


def _values(struct: Struct) -> dict[str, Any]:
    found = msgspec.structs.asdict(struct)
    return {name: _values(value) if isinstance(value, Struct) else value for name, value in found.items()}


def _read(group: str, name: str, table: dict[str, Any], *, is_known: bool) -> NewSchedule:
    """One schedule. Raises Invalid and TimetableError."""
    if not _GROUP.fullmatch(group):
        raise Invalid("group is needed: 1 to 128 characters of A-Z a-z 0-9 _ -.", fields="group")
    if not _NAME.fullmatch(name):
        raise Invalid("name is needed: 1 to 128 characters of A-Z a-z 0-9 _ . -.", fields="name")
    if is_known:
        raise Invalid("name is that of an earlier schedule of the group.", fields="name")
    given = decode(SchedulePut, msgspec.json.encode({"schedule": table})).schedule
    for field in _TIMES:
        try:
            milliseconds(getattr(given, field) or EXAMPLE)
        except ValueError:
            raise Invalid(f"{field} must be an RFC 3339 time, such as {EXAMPLE}.", fields=field) from None
    timetable_of(group, name, given)
    return given
