"""`titan schedule`: shows schedules and their times, pauses, resumes, runs, backfills and removes them."""

from collections.abc import Iterable

import click

from broker.cli.client_options import group_argument, option, with_broker
from broker.cli.commands import EXIT_CODES, CommandGroup, TitanCommand
from broker.cli.moments import when, wide_option
from broker.cli.options import example
from broker.cli.output import listing, page, show_json
from broker.cli.safe_text import line
from broker.cli.schedule_set import OVERLAPS, name_argument, set_
from broker.models.fields import MAX_JOBS
from broker.models.jobs import JobWrapper
from broker.models.schedules import (
    MOST_FIRES,
    Backfill,
    Backfilled,
    Fire,
    Schedule,
    ScheduleWrapper,
    TimesWrapper,
    Upcoming,
)
from worker.client import Client

_COLUMNS = ("name", "state", "when", "next", "image", "fired", "skipped", "failed")
_FIRE_COLUMNS = ("scheduled for", "what", "why", "job", "outcome")
_TIME_COLUMNS = ("at", "local", "jitter")


@example("titan schedule set mail digest --cron '30 7 * * 1-5' --image digest", "titan schedule list mail")
@click.group(cls=CommandGroup, epilog=EXIT_CODES)
def schedule() -> None:
    """Set, show, pause, run and remove schedules, which make jobs at their times."""


@example("titan schedule list mail")
@click.command("list", cls=TitanCommand, short_help="List the schedules of a group.")
@group_argument
@option("-n", "--n", default=50, type=click.IntRange(1, MAX_JOBS), show_default=True, help="How many.")
@option("--cursor", default="", help="Continue an earlier list at its end.")
@wide_option
@with_broker
async def list_(client: Client, group: str, n: int, cursor: str, *, as_json: bool) -> None:
    """List the schedules of a group by name."""
    with listing("schedules", _COLUMNS, _row, as_json=as_json, empty=f"{group} has no schedules.") as shown:
        found = await client.schedules(group, n, cursor)
        shown.show(found.schedules, found.cursor or "")


@example("titan schedule show mail digest")
@click.command(cls=TitanCommand)
@group_argument
@name_argument
@wide_option
@with_broker
async def show(client: Client, group: str, name: str, *, as_json: bool) -> None:
    """Show a schedule: when it fires, its last job, and how often it did what."""
    _page(await client.schedule(group, name), as_json=as_json)


@example("titan schedule next mail digest", "titan schedule next mail digest -n 3 --from 2027-03-27T00:00:00Z")
@click.command("next", cls=TitanCommand, short_help="Show the next times of a schedule.")
@group_argument
@name_argument
@option("-n", "--n", default=10, type=click.IntRange(1, MAX_JOBS), show_default=True, help="How many times.")
@option("--from", "after", default="", help="Only times after this one, RFC 3339. Now if not given.")
@wide_option
@with_broker
async def next_(client: Client, group: str, name: str, n: int, after: str, *, as_json: bool) -> None:
    """Show the next times of a schedule, in UTC and in its zone."""
    times = await client.next_times(group, name, n, after)
    if as_json:
        show_json(TimesWrapper(times))
        return
    with listing("times", _TIME_COLUMNS, _time_row, as_json=False) as shown:
        shown.show(times)


@example("titan schedule fires mail digest")
@click.command(cls=TitanCommand)
@group_argument
@name_argument
@option("-n", "--n", default=10, type=click.IntRange(1, MOST_FIRES), show_default=True, help="How many.")
@wide_option
@with_broker
async def fires(client: Client, group: str, name: str, n: int, *, as_json: bool) -> None:
    """List what the last times of a schedule came to: its job, or why there is none."""
    empty = f"{name} has not fired yet."
    with listing("fires", _FIRE_COLUMNS, _fire_row, as_json=as_json, empty=empty) as shown:
        shown.show(await client.fires(group, name, n))


@example("titan schedule run mail digest", "titan schedule run mail digest --overlap allow")
@click.command(cls=TitanCommand)
@group_argument
@name_argument
@option("--overlap", type=OVERLAPS, help="What to do while a job of it has not ended, in place of its own policy.")
@wide_option
@with_broker
async def run(client: Client, group: str, name: str, overlap: str | None, *, as_json: bool) -> None:
    """Make the job of a schedule now, in addition to its times."""
    job = await client.run_schedule(group, name, overlap)  # type: ignore[arg-type]  # click has checked it
    if as_json:
        show_json(JobWrapper(job))
    else:
        click.echo(line(f"{job.id} {job.status}"))


@example("titan schedule pause mail digest --note 'provider down'")
@click.command(cls=TitanCommand)
@group_argument
@name_argument
@option("--note", default="", help="Why, for people.")
@wide_option
@with_broker
async def pause(client: Client, group: str, name: str, note: str, *, as_json: bool) -> None:
    """Pause a schedule. Its times pass without a job until it is resumed."""
    _page(await client.pause_schedule(group, name, note), as_json=as_json)


@example("titan schedule resume mail digest")
@click.command(cls=TitanCommand)
@group_argument
@name_argument
@wide_option
@with_broker
async def resume(client: Client, group: str, name: str, *, as_json: bool) -> None:
    """Resume a schedule. It does not make up for the pause."""
    _page(await client.resume_schedule(group, name), as_json=as_json)


@example("titan schedule backfill mail digest --from 2026-01-01T00:00:00Z --to 2026-01-08T00:00:00Z")
@click.command(cls=TitanCommand)
@group_argument
@name_argument
@option("--from", "first", required=True, help="The first time, RFC 3339.")
@option("--to", "last", required=True, help="The last time, RFC 3339.")
@option("--overlap", type=OVERLAPS, help="queue_all if not given: the jobs run one after the other.")
@wide_option
@with_broker
async def backfill(
    client: Client, group: str, name: str, first: str, last: str, overlap: str | None, *, as_json: bool
) -> None:
    """Make the jobs of times that have passed, each time once, also if the command is repeated."""
    span = Backfill(from_=first, to=last, overlap=overlap)  # type: ignore[arg-type]  # click has checked it
    made = await client.backfill_schedule(group, name, span)
    if as_json:
        show_json(Backfilled(made))
    else:
        click.echo(f"{made} jobs made")


@example("titan schedule remove mail digest")
@click.command(cls=TitanCommand)
@group_argument
@name_argument
@wide_option
@with_broker
async def remove(client: Client, group: str, name: str, *, as_json: bool) -> None:
    """Remove a schedule. Its jobs stay."""
    await client.remove_schedule(group, name)
    if as_json:
        show_json({"removed": name})
    else:
        click.echo(line(f"{name} removed"))


def times_of(shown: Schedule) -> str:
    """When a schedule fires, in the words of its own field."""
    if shown.cron:
        crons: Iterable[str] = [shown.cron] if isinstance(shown.cron, str) else shown.cron
        return f"{'; '.join(crons)}{'' if shown.zone == 'UTC' else f' {shown.zone}'}"
    return f"every {shown.every} s" if shown.every else f"at {shown.at}"


def _row(shown: Schedule) -> tuple[object, ...]:
    counts, following = shown.counts, when(shown.next_at) if shown.next_at else ""
    image = shown.job.image or ""
    return shown.name, shown.state, times_of(shown), following, image, counts.fired, counts.skipped, counts.failed


def _time_row(time: Upcoming) -> tuple[object, ...]:
    return time.at, time.local, f"{time.jitter / 1000} s" if time.jitter else ""


def _fire_row(fire: Fire) -> tuple[object, ...]:
    what = f"{fire.what} {fire.times} times" if fire.times else fire.what
    return fire.scheduled_for, what, fire.why or "", fire.retried_as or fire.job or "", fire.outcome or ""


def _page(shown: Schedule, *, as_json: bool) -> None:
    if as_json:
        show_json(ScheduleWrapper(shown))
        return
    last = f"{when(shown.last.scheduled_for)} {shown.last.job} {shown.last.outcome or ''}" if shown.last else ""
    counts, job = shown.counts, shown.job
    rows: list[tuple[str, object]] = [
        ("name", shown.name),
        ("group", shown.group_name),
        ("state", shown.state),
        ("when", times_of(shown)),
        ("next", when(shown.next_at) if shown.next_at else ""),
        ("image", job.image or ""),
        ("payload", job.payload or ""),
        ("overlap", shown.overlap),
        ("missed", shown.missed),
        ("last", last.rstrip()),
        ("counts", f"{counts.fired} fired, {counts.skipped} skipped, {counts.missed} missed, {counts.failed} failed"),
        ("paused", when(shown.paused_at) if shown.paused_at else ""),
        ("because", shown.paused_because or shown.note or ""),
        ("revision", shown.revision),
    ]
    click.echo(page(rows))


for _command in (set_, list_, show, next_, fires, run, pause, resume, backfill, remove):
    schedule.add_command(_command)
