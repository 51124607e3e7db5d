"""Fires schedules: those that are due, one by hand, and for times that have passed."""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from broker.core.errors import Changed, Duplicate, Invalid, LimitReached, NotFound, TitanError, WrongState
from broker.core.ids import Ids
from broker.core.settings import BrokerSettings
from broker.models.schedules import MOST_BACKFILLED, NewSchedule
from broker.resp.partitions import Partitions
from broker.resp.resp_connection import Word
from broker.schedules.timetable import Due
from broker.store.admitter import scheduled_words
from broker.store.clock import Clock
from broker.store.format.schedules import StoredSchedule, stored_of
from broker.store.group_limits import limits_of
from broker.store.modes import Modes, with_default
from broker.store.schedules import MOST_PASSED, Schedules
from broker.store.tally import Tally

_log = logging.getLogger(__name__)
ON_TIME_MS = 60_000
"""A time that is due for longer has passed without a broker: with `missed: none` the schedule does not fire for it."""
_TRIES = 5
_AT_ONCE = 16
"""How many schedules fire at the same time."""


class Plan(NamedTuple):
    """What a schedule that is due does now: the time that it fires for, or None; the one after; times that passed.

    `passed` is as fire.lua takes it; `missed`: how many of them no broker noticed.
    """

    due: Due | None
    following: Due | None
    passed: str = ""
    missed: int = 0


class Fired(NamedTuple):
    """What a fire came to, in the words of fire.lua. `late_ms`: how late it was."""

    what: str
    why: str = ""
    job_id: str = ""
    missed: int = 0
    late_ms: int = 0


def plan_of(found: StoredSchedule, now: int) -> Plan:
    """What a schedule does whose next time has come. All times ms."""
    spec, times = found.spec, found.timetable
    before = (found.next_at or now) - 1
    latest = times.latest(before, now)
    if latest is None:  # other zones, or another jitter, than when its next time was set
        return Plan(None, times.next(before))
    oldest = now - spec.catch_up * 1000
    due = _chosen(spec, times.next(max(before, oldest - 1)) if spec.missed == "all" else latest, oldest, now)
    handled = due or latest
    missed = _missed(found, before, handled, now, is_fired=due is not None)
    lost = times.lost(_last_time(found, before), handled.at) if spec.gap == "skip" else []
    passed = [f"gap {lost[0]} {len(lost)}"] if lost else []
    if missed:
        passed.append(f"missed {missed[0].at} {len(missed)}")
    return Plan(due, times.next(handled.at), ",".join(passed), len(missed))


def _last_time(found: StoredSchedule, before: int) -> int:
    """The time of the schedule before the next one, whatever became of it; for a new schedule when it was created."""
    last = found.timetable.latest(0, before)
    return max(last.at if last else 0, int(found.fields["created_at"]))


def _chosen(spec: NewSchedule, due: Due | None, oldest: int, now: int) -> Due | None:
    if due is None or due.at < oldest or due.fires_at > now:
        return None
    return None if spec.missed == "none" and due.fires_at < now - ON_TIME_MS else due


def _missed(found: StoredSchedule, before: int, handled: Due, now: int, *, is_fired: bool) -> list[Due]:
    """The times up to this one for which the schedule does not fire; as far as they are counted."""
    if is_fired and handled.at == found.next_at:
        return []
    passed = found.timetable.missed(before, now, MOST_PASSED)
    return [due for due in passed if due.at < handled.at or (due.at == handled.at and not is_fired)]


class ScheduleFires:
    """Fires schedules. `settings`: for the limits of groups, and how long an Idempotency-Key is kept."""

    def __init__(
        self,
        partitions: Partitions,
        clock: Clock,
        ids: Ids,
        tally: Tally,
        settings: BrokerSettings,
        schedules: Schedules,
        modes: Modes,
    ) -> None:
        self._partitions = partitions
        self._clock = clock
        self._ids = ids
        self._tally = tally
        self._limits = limits_of(settings)
        self._ttl_ms = settings.idempotency_ttl_s * 1000
        self._schedules = schedules
        self._modes = modes

    async def fire_due(self, limit: int) -> list[Fired]:
        """Fire schedules that are due, `limit` a partition at most; empty when none is that this broker can fire.

        Raises StoreUnavailable if no partition answers.
        """
        words: list[list[Word]] = [[self._clock.now, "due", "", "", limit] for _ in self._partitions.names]
        replies = await self._partitions.run_where("schedules", self._partitions.names, words)
        answers = [reply for reply in replies if not isinstance(reply, TitanError)]
        if not answers:
            raise replies[0]
        due = [(stored_of(row), int(now)) for now, *rows in answers for row in rows]
        fired: list[Fired] = []
        for first in range(0, len(due), _AT_ONCE):
            some = due[first : first + _AT_ONCE]
            fired += await asyncio.gather(*(self.fire(found, now) for found, now in some))
        return [one for one in fired if one.what != "unreadable"]

    async def fire(self, found: StoredSchedule, now: int) -> Fired:
        """Fire a schedule that is due, unless another broker does. now: the time of the store, ms.

        One that this broker cannot read, such as one in a zone that it does not know, is left to other brokers.
        """
        try:
            plan = plan_of(found, now)
        except (ValueError, LookupError) as error:
            _note_unreadable(found.group, found.name, str(error))
            return Fired("unreadable")
        try:
            fired = await self._fire(found, plan, "time", found.spec.overlap)
        except (Changed, NotFound):
            return Fired("changed")
        return fired._replace(missed=plan.missed, late_ms=max(0, now - found.score))

    async def run(self, group: str, name: str, overlap: str | None, key: str = "") -> tuple[str, bool]:
        """Fire a schedule by hand: the id of the job, and whether it is from an earlier call with the same key.

        Raises NotFound, WrongState for a job that has not ended, LimitReached, Duplicate, Invalid without an image,
        IdempotencyMismatch.
        """
        for _ in range(_TRIES):
            now, found = await self._schedules.now_and_stored(group, name)
            plan = Plan(Due(now, now, ""), None)
            try:
                how = overlap or found.spec.overlap
                fired = await self._fire(found, plan, "run", how, key=key, asked=overlap or "")
            except Changed:
                continue
            if fired.what == "skipped":
                raise _skipped(fired, self._modes.of(found.group).limits(self._limits).jobs)
            return fired.job_id, fired.what == "repeated"
        raise Changed("The schedule was changed meanwhile.")

    async def backfill(self, group: str, name: str, first: int, last: int, overlap: str | None) -> int:
        """Fire for each time from first to last, ms, for which the schedule has not fired; how many jobs that made.

        Raises NotFound, Invalid for too many times or those to come, LimitReached when the group has no room for more.
        """
        now, found = await self._schedules.now_and_stored(group, name)
        if last > now or first > last:
            fields = "to" if last > now else "from"
            text = "A backfill is for times that have passed: from is before to, and to before now."
            raise Invalid(text, fields=fields)
        times = found.timetable.missed(first - 1, last, MOST_BACKFILLED + 1)
        if len(times) > MOST_BACKFILLED:
            raise Invalid(f"The schedule has more than {MOST_BACKFILLED} times in this time.", fields="to")
        made, before = 0, ""
        for due in times:
            if found.next_at is not None and due.at >= found.next_at and found.state == "active":
                break  # it is due just now
            fired = await self._fire(found, Plan(due, None), "backfill", overlap or "queue_all", before=before)
            if fired.what == "skipped" and fired.why == "limit":
                raise _skipped(fired, self._modes.of(found.group).limits(self._limits).jobs)
            made, before = made + (fired.what == "fired"), str(due.at)
        return made

    async def _fire(
        self,
        found: StoredSchedule,
        plan: Plan,
        how: str,
        overlap: str,
        *,
        before: str = "",
        key: str = "",
        asked: str = "",
    ) -> Fired:
        due, following, job = plan.due, plan.following, found.spec.job
        mode = self._modes.of(found.group)
        digest = hashlib.sha256(f"{found.name} {asked}".encode()).hexdigest() if key else ""
        words: list[Word] = [
            *(found.name, found.version, found.score if how == "time" else "", how),
            *("" if due is None else due.at, "" if due is None or due.moved is None else due.moved),
            *(("", "") if following is None else (following.fires_at, following.at)),
            *(plan.passed, overlap, found.spec.max_fires or 0, before, *mode.limits(self._limits)),
            *(f"{found.group}:{key}" if key else "", digest, self._ttl_ms),
        ]
        if due is not None and (job.image or found.image):
            [job_id] = self._ids.take(1)
            [new] = with_default([job.as_new_job()], mode.start_within)
            words += scheduled_words(found.group, new, job_id, found.image, found.name, due.at, mode)
        reply: Sequence[Any] = await self._partitions.run(
            "fire", self._partitions.of(found.group), self._clock.now, found.group, *words
        )
        what, why, job_id, cancelled = reply
        if what == b"fired":
            self._tally.enqueued(found.group, 1, [job_id])
        if why == b"duplicate" and job.unique:
            self._tally.duplicate([job.unique.on_conflict or "existing"])
        if cancelled:
            self._tally.cancelled(found.group, int(cancelled))
        return Fired(what.decode(), why.decode(), job_id.decode())


@lru_cache(maxsize=1024)
def _note_unreadable(group: str, name: str, why: str) -> None:
    """Log it once."""
    _log.warning("the schedule %s of the group %s does not fire here: %s", name, group, why)


def _skipped(fired: Fired, most: int) -> TitanError:
    """The refusal of a fire by hand that made no job."""
    if fired.why == "overlap":
        return WrongState(f"The job {fired.job_id} of the schedule has not ended.")
    if fired.why == "duplicate":
        return Duplicate(f"The job {fired.job_id} holds the unique key.")
    if fired.why == "no_image":
        return Invalid("An image is needed: neither the schedule nor its group has one.", fields="schedule.job.image")
    waits = f"The job {fired.job_id} of the schedule and others wait already." if fired.job_id else ""
    return LimitReached(waits or f"The group has its most unfinished jobs, {most}, or bytes of them.", retry_after_s=1)
