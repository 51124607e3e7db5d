"""The verbs of schedules: list, put, show, remove, pause, resume, run, backfill; their times and their fires."""

import re

import msgspec
from msgspec import UNSET

from broker.core.errors import Invalid
from broker.core.timestamps import rfc3339
from broker.http.request.context import Call
from broker.http.request.decoding import moment
from broker.http.request.query_params import FiresQuery, SchedulesQuery, TimesQuery
from broker.http.responses import Response, json, nothing
from broker.models.fields import LINE, NO_CONTROLS
from broker.models.jobs import JobWrapper
from broker.models.schedules import (
    Backfill,
    Backfilled,
    FiresWrapper,
    NewSchedule,
    PauseSchedule,
    RunSchedule,
    Schedule,
    ScheduledJob,
    SchedulePut,
    SchedulesWrapper,
    ScheduleWrapper,
    TimesWrapper,
)
from broker.resp.marks import SCHEDULES
from broker.schedules.timetable import Due, explain
from broker.store.format.schedules import upcoming_of
from broker.store.schedules import timetable_in

_IMAGE = re.compile(NO_CONTROLS)
_REPLAYED = (("Idempotency-Replayed", "true"),)
_TIMES = ("at", "starts_at", "ends_at")


async def list_schedules(call: Call) -> Response:
    """List the schedules of a group by name."""
    query = call.query(SchedulesQuery)
    schedules, cursor = await call.store.schedules.list(call.group, query.n, query.cursor)
    return json(SchedulesWrapper(schedules, cursor or UNSET))


async def put_schedule(call: Call) -> Response:
    """Create a schedule, or replace one whole. The same body again changes nothing, not even its next time.

    Without `paused` a schedule that is paused stays so.
    """
    revision = call.revision()
    spec = _checked((await call.body(SchedulePut)).schedule, call.settings.max_payload_bytes)
    call.acted_on = call.acted_on._replace(detail=f"put {call.schedule}")
    await call.store.require_layout(SCHEDULES, "Schedules")
    if not spec.job.image and not await call.store.schedules.image_of(call.group):
        raise Invalid("An image is needed: the group has none of its own.", fields="schedule.job.image")
    put = await call.store.schedules.put(call.group, call.schedule, spec, call.grant.name, revision)
    return _tagged(put.schedule, 201 if put.is_new else 200)


async def show_schedule(call: Call) -> Response:
    """Show a schedule: what it does, its next time, its last job, and how often it did what."""
    return _tagged(await call.store.schedules.show(call.group, call.schedule))


async def remove_schedule(call: Call) -> Response:
    """Remove a schedule. Its jobs stay."""
    call.acted_on = call.acted_on._replace(detail=f"remove {call.schedule}")
    await call.store.schedules.remove(call.group, call.schedule)
    return nothing()


async def next_times(call: Call) -> Response:
    """Show the next times of a schedule, also of a paused one, and its cron expressions in words."""
    query = call.query(TimesQuery)
    now, found = await call.store.schedules.now_and_stored(call.group, call.schedule)
    after = moment(query.from_, "from")
    return _times(found.spec, found.timetable.upcoming(now if after is None else after, query.n))


async def list_fires(call: Call) -> Response:
    """List what the last times of a schedule came to, the newest first: its job, or why there is none."""
    return json(FiresWrapper(await call.store.schedules.fires(call.group, call.schedule, call.query(FiresQuery).n)))


async def pause_schedule(call: Call) -> Response:
    """Pause a schedule. Its times pass without a job until it is resumed."""
    note = (await call.body(PauseSchedule)).note or ""
    call.acted_on = call.acted_on._replace(detail=f"pause {call.schedule}")
    return _tagged(await call.store.schedules.pause(call.group, call.schedule, note, call.grant.name))


async def resume_schedule(call: Call) -> Response:
    """Resume a schedule. It does not make up for the pause: `backfill` does."""
    call.acted_on = call.acted_on._replace(detail=f"resume {call.schedule}")
    return _tagged(await call.store.schedules.resume(call.group, call.schedule))


async def run_schedule(call: Call) -> Response:
    """Make the job of a schedule now, in addition to its times; also of a paused one."""
    key, overlap = call.idempotency_key(), (await call.body(RunSchedule)).overlap
    call.acted_on = call.acted_on._replace(detail=f"run {call.schedule}")
    job_id, is_replayed = await call.store.schedule_fires.run(call.group, call.schedule, overlap, key)
    call.acted_on = call.acted_on._replace(ids=(job_id,))
    return json(JobWrapper(await call.store.jobs.show(call.group, job_id)), 201, _REPLAYED if is_replayed else ())


async def backfill_schedule(call: Call) -> Response:
    """Make the jobs of times that have passed, 1,000 times at most; each time once, also if the call is repeated."""
    body = await call.body(Backfill)
    call.acted_on = call.acted_on._replace(detail=f"backfill {call.schedule} from {body.from_} to {body.to}")
    first, last = moment(body.from_, "from"), moment(body.to, "to")
    if first is None or last is None:
        raise Invalid("A backfill has from and to.", fields="from" if first is None else "to")
    made = await call.store.schedule_fires.backfill(call.group, call.schedule, first, last, body.overlap)
    return json(Backfilled(made), 202)


async def preview_schedule(call: Call) -> Response:
    """Show the next times of a schedule that is not stored."""
    query = call.query(TimesQuery)
    spec = _checked((await call.body(SchedulePut)).schedule, call.settings.max_payload_bytes)
    after = moment(query.from_, "from")
    times = timetable_in("", "", spec)
    return _times(spec, times.upcoming(await call.store.schedules.now() if after is None else after, query.n))


def _checked(spec: NewSchedule, limit_bytes: int) -> NewSchedule:
    """The schedule with its times in the form of the API: so the same time is the same text. Raises Invalid."""
    at = {name: moment(getattr(spec, name), f"schedule.{name}") for name in _TIMES}
    for name, ms in at.items():
        if ms is not None and ms < 0:
            raise Invalid(f"schedule.{name} must be a time from 1970 to 9998.", fields=f"schedule.{name}")
    _check_job(spec.job, limit_bytes)
    texts = {name: None if ms is None else rfc3339(ms) for name, ms in at.items()}
    return msgspec.structs.replace(spec, **texts)


def _check_job(job: ScheduledJob, limit_bytes: int) -> None:
    if job.image and _IMAGE.fullmatch(job.image) is None:
        raise Invalid(f"schedule.job.image must be {LINE['words']}.", fields="schedule.job.image")
    if len((job.payload or "").encode()) > limit_bytes:
        raise Invalid(f"A payload may have {limit_bytes} bytes at most.", fields="schedule.job.payload")
    if job.retry and job.max_retries:
        field = "schedule.job.max_retries"
        raise Invalid(f"{field} must not be given together with retry.", fields=field)
    unique = job.unique
    if unique and unique.until and unique.for_:
        raise Invalid("A key has until or for, not both.", fields="schedule.job.unique.until")
    if unique and (unique.on_conflict == "push" or unique.max_wait):
        raise Invalid(
            "push needs a delay, which the job of a schedule has not.", fields="schedule.job.unique.on_conflict"
        )


def _times(spec: NewSchedule, times: list[Due]) -> Response:
    """The times of a schedule that was checked, and its cron expressions in words."""
    crons = [spec.cron] if isinstance(spec.cron, str) else (spec.cron or [])
    return json(TimesWrapper([upcoming_of(due) for due in times], [explain(cron) for cron in crons] or UNSET))


def _tagged(schedule: Schedule, status: int = 200) -> Response:
    return json(ScheduleWrapper(schedule), status, (("ETag", f'"{schedule.revision}"'),))
