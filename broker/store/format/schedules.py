"""A schedule as the store has it, and as the API shows it."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from broker.core.timestamps import milliseconds, rfc3339
from broker.models.schedules import Fire, FireCounts, NewSchedule, Schedule, Upcoming
from broker.schedules.timetable import Due, Timetable

_encode = msgspec.json.Encoder().encode
spec_of = msgspec.json.Decoder(NewSchedule).decode
"""Decodes what a client gave, as it is stored."""
_TIMES = ("cron", "every", "at", "offset", "zone", "gap", "jitter", "starts_at", "ends_at")
"""The fields that say when a schedule fires."""
_SHOWN = (*_TIMES, "overlap", "missed", "catch_up", "max_fires", "pause_after", "job")
_TEXTS = ("paused_by", "paused_because", "note")


class StoredSchedule(NamedTuple):
    """A schedule in the store. `score`: when it fires, ms, 2^53 for never. `image`: that of its group, or ''."""

    group: str
    name: str
    score: int
    image: str
    fields: dict[str, str]

    @property
    def spec(self) -> NewSchedule:
        """What the client gave."""
        return _cached_spec(self.fields["spec"])

    @property
    def version(self) -> str:
        """Which schedule it is, and the number of its last change, as the scripts compare it."""
        return f"{self.fields['created_at']}-{self.fields['revision']}"

    @property
    def state(self) -> str:
        """Whether it is active, paused or done."""
        return self.fields["state"]

    @property
    def next_at(self) -> int | None:
        """The next time, without jitter, ms. Of a paused one: the first time that the pause skips."""
        return int(self.fields["next_at"]) if self.fields.get("next_at") else None

    @property
    def timetable(self) -> Timetable:
        """Its times."""
        return timetable_of(self.group, self.name, self.spec)


@lru_cache(maxsize=4096)
def _cached_spec(text: str) -> NewSchedule:
    return spec_of(text)


def spec_text(spec: NewSchedule) -> str:
    """What is stored of what the client gave: a schedule may be paused and resumed without it."""
    return _encode(msgspec.structs.replace(spec, paused=None)).decode()


def timetable_of(group: str, name: str, spec: NewSchedule) -> Timetable:
    """The times of a schedule. Raises TimetableError."""
    cron = (spec.cron,) if isinstance(spec.cron, str) else None if spec.cron is None else tuple(spec.cron)
    at, *window = (None if text is None else milliseconds(text) for text in (spec.at, spec.starts_at, spec.ends_at))
    key = f"{group}/{name}"
    return _timetable(cron, spec.every, at, spec.zone, spec.gap, spec.offset, spec.jitter, key, *window)


@lru_cache(maxsize=4096)
def _timetable(
    cron: tuple[str, ...] | None,
    every: int | None,
    at: int | None,
    zone: str,
    gap: Any,
    offset: int,
    jitter: int,
    name: str,
    starts_at: int | None,
    ends_at: int | None,
) -> Timetable:
    return Timetable.of(
        cron=cron,
        every=every,
        at=at,
        zone=zone,
        gap=gap,
        offset=offset,
        jitter=jitter,
        name=name,
        starts_at=starts_at,
        ends_at=ends_at,
    )


def have_same_times(one: NewSchedule, other: NewSchedule) -> bool:
    """Whether two schedules fire at the same times."""
    return all(getattr(one, name) == getattr(other, name) for name in _TIMES)


def stored_of(row: Sequence[Any]) -> StoredSchedule:
    """A row of schedules.lua."""
    group, name, score, image, *words = (word.decode() for word in row)
    return StoredSchedule(group, name, int(float(score)), image, dict(zip(words[::2], words[1::2], strict=True)))


def shown(stored: StoredSchedule) -> Schedule:
    """A schedule as the API shows it."""
    spec, fields = stored.spec, stored.fields
    given = {name: getattr(spec, name) for name in _SHOWN if getattr(spec, name) is not None}
    if spec.every is None:
        del given["offset"]
    schedule = Schedule(
        name=stored.name,
        group_name=stored.group,
        state=stored.state,  # type: ignore[arg-type]  # the scripts write no other words
        revision=int(fields["revision"]),
        created_at=rfc3339(int(fields["created_at"])),
        updated_at=rfc3339(int(fields["updated_at"])),
        counts=FireCounts(**{name: int(fields.get(name, 0)) for name in FireCounts.__struct_fields__}),
        **given,
    )
    if stored.state == "active" and stored.next_at is not None:
        schedule.next_at = rfc3339(stored.next_at)
    if "paused_at" in fields:
        schedule.paused_at = rfc3339(int(fields["paused_at"]))
    for name in _TEXTS:
        setattr(schedule, name, fields.get(name, UNSET))
    if "last" in fields:
        schedule.last = fire_of(fields["last"])
    return schedule


def fire_of(line: str) -> Fire:
    """A line of the history of fires."""
    at, fired_at, what, why, moved, how, job, current, outcome, times = (
        UNSET if word == "-" else word for word in line.split(" ")
    )
    return Fire(
        scheduled_for=rfc3339(int(str(at))),
        fired_at=rfc3339(int(str(fired_at))),
        what=what,  # type: ignore[arg-type]
        why=why,  # type: ignore[arg-type]
        by=how,  # type: ignore[arg-type]
        moved=moved,  # type: ignore[arg-type]
        job=job,
        retried_as=UNSET if current == job else current,
        outcome=outcome,  # type: ignore[arg-type]
        times=UNSET if times is UNSET else int(times),
    )


def upcoming_of(due: Due) -> Upcoming:
    """A time as the API shows it."""
    return Upcoming(at=rfc3339(due.at), local=due.local, jitter=due.fires_at - due.at, moved=due.moved or UNSET)
