"""`titan schedule`: shows schedules, their times and fires; runs, pauses, resumes, backfills and removes them."""

from functools import partial
from typing import Any, get_args

import click
from msgspec import UNSET

from broker.cli.client_options import group_argument, option, pages, with_broker
from broker.cli.commands import EXIT_CODES, CommandGroup, TitanCommand
from broker.cli.moments import exact, is_wide, seconds_between, span, wide_option
from broker.cli.options import example
from broker.cli.output import listing, page, show_json
from broker.cli.policies import in_words
from broker.cli.quantities import PastMoment
from broker.cli.safe_text import line
from broker.cli.schedule_set import set_, show_times, when_of
from broker.cli.table import Column
from broker.core.words import counted
from broker.models.fields import MAX_JOBS
from broker.models.jobs import JobWrapper
from broker.models.schedules import MOST_FIRES, Backfilled, Fire, FiresWrapper, Overlap, Schedule, ScheduleWrapper
from broker.schedules.timetable import TimetableError, explain
from worker.client import Client

_COLUMNS = (
    Column("name", can_cut=True),
    Column("state"),
    Column("next"),
    Column("times", drop=1, can_cut=True),
    Column("zone", drop=3),
    Column("fired", drop=2),
    Column("skipped", drop=2),
    Column("missed", drop=2),
    Column("failed", drop=2),
)
_FIRE_COLUMNS = (
    Column("scheduled for"),
    Column("decided", drop=2),
    Column("what"),
    Column("why"),
    Column("job"),
    Column("outcome"),
    Column("times", drop=1),
)

_TO_COME = "'next', or 'set' with '--dry-run' for a schedule that is not set yet"

name_argument = click.argument("name", metavar="NAME")
overlap_option = option(
    "--overlap",
    type=click.Choice(get_args(Overlap)),
    help="What it does while an earlier job has not ended, in place of what the schedule says.",
)


@example(
    "titan schedule set mail digest --cron '30 7 * * 1-5' --zone Europe/Berlin --image digest",
    "titan schedule set -f schedules.toml --prune",
    "titan schedule list mail",
)
@click.group(cls=CommandGroup, epilog=EXIT_CODES, meant=dict.fromkeys(("preview", "times", "upcoming"), _TO_COME))
def schedule() -> None:
    """Set, show, pause and remove schedules, which make jobs at certain times."""


@example("titan schedule list mail")
@click.command("list", cls=TitanCommand)
@group_argument
@wide_option
@with_broker
async def list_(client: Client, group: str, *, as_json: bool) -> None:
    """List the schedules of a group by name."""
    with listing("schedules", _COLUMNS, _row, as_json=as_json, empty=f"{group} has no schedule.") as shown:
        async for schedules in pages(partial(client.schedules, group, MAX_JOBS)):
            shown.show(schedules)


@example("titan schedule show mail digest")
@click.command(cls=TitanCommand)
@group_argument
@name_argument
@wide_option
@with_broker
async def show(client: Client, group: str, name: str, *, as_json: bool) -> None:
    """Show a schedule: its times and job, its last job, and how often it did what."""
    _show(await client.schedule(group, name), as_json=as_json)


@example("titan schedule next mail digest", "titan schedule next mail digest -n 3 --from 2027-03-27T00:00:00Z")
@click.command("next", cls=TitanCommand)
@group_argument
@name_argument
@option("-n", "--n", default=10, type=click.IntRange(1, MAX_JOBS), show_default=True, help="How many times.")
@option("--from", "after", default="", type=PastMoment(), help="After this time; the default is now.")
@wide_option
@with_broker
async def next_(client: Client, group: str, name: str, n: int, after: str, *, as_json: bool) -> None:
    """Show the next times of a schedule, also of a paused one."""
    show_times(await client.schedule_times(group, name, n, after), as_json=as_json)


@example("titan schedule run mail digest")
@click.command(cls=TitanCommand)
@group_argument
@name_argument
@overlap_option
@option("--key", default="", help="Idempotency-Key: for 24 h, a repeat of the same command makes no other job.")
@wide_option
@with_broker
async def run(client: Client, group: str, name: str, overlap: Overlap | None, key: str, *, as_json: bool) -> None:
    """Make the job of a schedule now, in addition to its times; also of a paused one."""
    job = await client.run_schedule(group, name, overlap, key)
    if as_json:
        show_json(JobWrapper(job))
    else:
        click.echo(line(f"{job.id} {job.status}"))


@example("titan schedule pause mail digest --note 'provider down'")
@click.command(cls=TitanCommand)
@group_argument
@name_argument
@option("--note", default="", metavar="TEXT", help="A note for people; it goes when the pause ends.")
@wide_option
@with_broker
async def pause(client: Client, group: str, name: str, note: str, *, as_json: bool) -> None:
    """Pause a schedule: its times pass without a job."""
    _show(await client.pause_schedule(group, name, note), as_json=as_json)


@example("titan schedule resume mail digest")
@click.command(cls=TitanCommand)
@group_argument
@name_argument
@wide_option
@with_broker
async def resume(client: Client, group: str, name: str, *, as_json: bool) -> None:
    """Resume a schedule.

    It does not make up for the times of the pause: `titan schedule backfill` does.
    """
    _show(await client.resume_schedule(group, name), as_json=as_json)


@example("titan schedule backfill mail digest --from '2 days ago' --to now")
@click.command(cls=TitanCommand)
@group_argument
@name_argument
@option("--from", "first", required=True, type=PastMoment(), help="From this time on.")
@option("--to", "last", required=True, type=PastMoment(), help="Up to this time.")
@overlap_option
@wide_option
@with_broker
async def backfill(
    client: Client, group: str, name: str, first: str, last: str, overlap: Overlap | None, *, as_json: bool
) -> None:
    """Make the jobs of times that have passed, 1,000 at most.

    Each time has one job: a repeat of the same command makes no other.
    """
    made = await client.backfill_schedule(group, name, first, last, overlap)
    if as_json:
        show_json(Backfilled(made))
    else:
        click.echo(f"{counted(made, 'job')} made")


@example("titan schedule fires mail digest")
@click.command(cls=TitanCommand)
@group_argument
@name_argument
@option("-n", "--n", default=MOST_FIRES, type=click.IntRange(1, MOST_FIRES), show_default=True, help="How many.")
@wide_option
@with_broker
async def fires(client: Client, group: str, name: str, n: int, *, as_json: bool) -> None:
    """List what the last times of a schedule came to, the newest first.

    `decided` is how much later than its time a broker decided what to do: it is more with jitter, after a time without
    brokers, and for a backfill.
    """
    found = await client.schedule_fires(group, name, n)
    if as_json:
        show_json(FiresWrapper(found))
        return
    row = partial(_fire_row, await client.schedule(group, name))
    with listing("fires", _FIRE_COLUMNS, row, as_json=False, empty=f"{name} has not fired yet.") as shown:
        shown.show(found)


@example("titan schedule remove mail digest")
@click.command(cls=TitanCommand)
@group_argument
@name_argument
@wide_option
@with_broker
async def remove(client: Client, group: str, name: str, *, as_json: bool) -> None:
    """Remove a schedule; its jobs stay."""
    await client.remove_schedule(group, name)
    if as_json:
        show_json({"group": group, "name": name})
    else:
        click.echo(line(f"{name} removed"))


def _row(schedule: Schedule) -> tuple[object, ...]:
    counts = schedule.counts
    numbers = (counts.fired, counts.skipped, counts.missed, counts.failed)
    next_at = when_of(schedule, schedule.next_at)
    return schedule.name, schedule.state, next_at, _times(schedule), schedule.zone, *numbers


def _times(schedule: Schedule) -> str:
    """When it fires, in short."""
    if schedule.at:
        return f"once, {when_of(schedule, schedule.at)}"
    if schedule.every:
        return f"every {exact(schedule.every)}" + (f", {exact(schedule.offset)} later" if schedule.offset else "")
    return "; ".join(_crons(schedule))


def _crons(schedule: Schedule) -> list[str]:
    cron = schedule.cron or []
    return [cron] if isinstance(cron, str) else cron


def _in_words(schedule: Schedule) -> str:
    try:
        return "\n".join(explain(cron) for cron in _crons(schedule))
    except TimetableError:  # of a newer broker
        return ""


def _fire_row(schedule: Schedule, fire: Fire) -> tuple[Any, ...]:
    what = " ".join(filter(None, [fire.what, f"({fire.by})" if fire.by else "", "after a gap" if fire.moved else ""]))
    why = fire.why if fire.why and fire.why != fire.what else ""
    at = when_of(schedule, fire.scheduled_for)
    decided = fire.fired_at if is_wide() else f"{span(seconds_between(fire.scheduled_for, fire.fired_at))} later"
    return at, decided, what, why, fire.job or "", fire.outcome or "", fire.times or 1


def _show(schedule: Schedule, *, as_json: bool) -> None:
    if as_json:
        show_json(ScheduleWrapper(schedule))
        return
    job, counts = schedule.job, schedule.counts
    rows: list[tuple[str, object]] = [
        ("name", schedule.name),
        ("group", schedule.group_name),
        ("state", schedule.state),
        ("paused", when_of(schedule, schedule.paused_at)),
        ("paused by", schedule.paused_by),
        ("because", schedule.note or schedule.paused_because),
        ("times", _times(schedule)),
        ("in words", _in_words(schedule)),
        ("zone", schedule.zone),
        ("jitter", exact(schedule.jitter) if schedule.jitter else UNSET),
        ("next", when_of(schedule, schedule.next_at)),
        ("overlap", schedule.overlap),
        ("missed", f"{schedule.missed}, of the last {exact(schedule.catch_up)}"),
        ("starts", when_of(schedule, schedule.starts_at)),
        ("ends", when_of(schedule, schedule.ends_at)),
        ("max fires", schedule.max_fires),
        ("pause after", counted(schedule.pause_after, "failure") if schedule.pause_after else UNSET),
        ("image", job.image),
        ("payload", job.payload),
        ("priority", job.priority),
        ("timeout", None if job.timeout is None else exact(job.timeout)),
        ("retry", in_words(job.retry) if job.retry else job.max_retries),
        ("last", _last(schedule)),
        ("counts", f"{counts.fired} fired, {counts.skipped} skipped, {counts.missed} missed, {counts.failed} failed"),
    ]
    click.echo(page([(name, line(str(value)) if isinstance(value, str) else value) for name, value in rows]))


def _last(schedule: Schedule) -> str:
    last = schedule.last
    if not last:
        return ""
    return " ".join(filter(None, [when_of(schedule, last.scheduled_for), last.job or "", last.outcome or ""]))


for _command in (set_, list_, show, next_, run, pause, resume, backfill, fires, remove):
    schedule.add_command(_command)
