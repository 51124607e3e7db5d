"""`titan schedule set`: creates or replaces a schedule from options, or all schedules of a file."""

from pathlib import Path
from typing import Any, get_args

import click
from msgspec import UnsetType

from broker.cli.client_options import from_options, option, with_broker
from broker.cli.commands import TitanCommand
from broker.cli.moments import when, wide_option
from broker.cli.options import example
from broker.cli.output import JsonList, listing, show_json
from broker.cli.policies import RETRY_HELP, RetryPolicy
from broker.cli.quantities import Duration, FutureMoment, Moment, duration_of
from broker.cli.safe_text import line
from broker.cli.schedule_file import apply_schedules, read_schedules
from broker.cli.unique_options import unique_options, with_unique
from broker.core import timestamps
from broker.models.fields import EndWithin, RetriesDelay, StartWithin, Timeout
from broker.models.schedules import (
    DEFAULT_CATCH_UP_S,
    NewSchedule,
    Overlap,
    Schedule,
    ScheduledJob,
    ScheduleWrapper,
    TimesWrapper,
    Upcoming,
)
from broker.schedules.errors import TimetableError
from broker.schedules.zones import Zone
from worker.client import Client

_YEAR_S = 31_536_000
_PREVIEWED = 5
_JOB_FIELDS = ScheduledJob.__struct_fields__
_TIME_COLUMNS = ("at", "local", "jitter", "")


class _Time(Moment):
    """A time, RFC 3339 in UTC as the API takes it, also one that has passed."""

    def __init__(self) -> None:
        super().__init__("future")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """RFC 3339. Fails for other texts."""
        return timestamps.rfc3339(int(super().convert(value, param, ctx).timestamp() * 1000))


@example(
    "titan schedule set mail digest --cron '30 7 * * 1-5' --zone Europe/Berlin --image digest --overlap queue",
    "titan schedule set backup nightly --cron @daily --jitter 10m --image dump --dry-run",
    "titan schedule set -f schedules.toml --prune",
)
@click.command("set", cls=TitanCommand)
@click.argument("group", metavar="GROUP", required=False)
@click.argument("name", metavar="NAME", required=False)
@option("--cron", multiple=True, metavar="EXPRESSION", help="5 fields, 6 with seconds first, or @daily; repeatable.")
@option("--every", type=Duration(1, _YEAR_S), help="A distance, such as 90s or 1h, counted from 1970.")
@option("--at", type=FutureMoment(), help="One time: 'tomorrow 09:00', 2026-12-01T09:00+01:00.")
@option("--offset", type=Duration(0, _YEAR_S), help="With --every: how much later each time is.")
@option("--zone", help="The time zone of --cron, such as Europe/Berlin; the default is UTC.")
@option(
    "--gap", type=click.Choice(["run", "skip"]), help="Of a local time that does not exist: run right after, or skip."
)
@option("--jitter", type=Duration(0, 3600), help="It fires later by a part of this; name and time decide which.")
@option("--overlap", type=click.Choice(get_args(Overlap)), help="While an earlier job has not ended; default skip.")
@option(
    "--missed", type=click.Choice(["one", "all", "none"]), help="Of times that passed without a broker; default one."
)
@option(
    "--catch-up",
    type=Duration(0, _YEAR_S),
    help=f"Never fire for a time that passed longer ago; the default is {DEFAULT_CATCH_UP_S // 3600}h.",
)
@option("--starts-at", type=_Time(), help="It fires from then on.")
@option("--ends-at", type=_Time(), help="It fires before then only.")
@option("--max-fires", type=int, metavar="N", help="The number of jobs after which it is done.")
@option("--pause-after", type=int, metavar="N", help="The number of final failures in a row after which it pauses.")
@option("--paused/--no-paused", default=None, help="Whether it pauses; the default is as it is.")
@option("--image", help="Name of the program that runs its jobs; the default is the image of the group.")
@option("--payload", help="Input of its jobs: any text.")
@option("--priority", type=int, help="0, 1 or 2 of its jobs.")
@option("--timeout", type=duration_of(Timeout), help="How long a consumer may hold a job.")
@option(
    "--start-within",
    type=duration_of(StartWithin),
    help="Fail a job, reason expired, if no consumer takes it in this time from its creation on.",
)
@option(
    "--end-within",
    type=duration_of(EndWithin),
    help="Fail a job, reason timeout, if it is not finished in this time from its creation on.",
)
@option("--max-retries", type=int, help="Maximum number of automatic retries after failures.")
@option("--retries-delay", type=duration_of(RetriesDelay), help="Delay before an automatic retry.")
@option("--retry", type=RetryPolicy(), help=RETRY_HELP)
@unique_options
@option("--job-key", help="What its jobs belong to, such as a tenant: the group limits how many of a key run at once.")
@option(
    "-f",
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Set all schedules of this file in TOML or JSON.",
)
@option("--prune", is_flag=True, help="With --file: remove other schedules of the groups that the file names.")
@option("--dry-run", is_flag=True, help="Change nothing; show the next times, or with --file what would change.")
@wide_option
@with_broker
async def set_(
    client: Client,
    group: str | None,
    name: str | None,
    file: Path | None,
    *,
    prune: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    r"""Create or replace a schedule, or with --file all schedules of a file.

    What is not named gets its default; a schedule that is the same already stays as it is, with its next time. Group
    and name apart the schedules of a file have the fields of the API:

    \b
        [[schedules]]
        group = "mail"
        name = "digest"
        cron = "30 7 * * 1-5"
        zone = "Europe/Berlin"
        job.image = "digest"

    All of it is checked before anything changes.
    """
    options = {key: value for key, value in options.items() if value not in (None, ())}
    if file is not None:
        if group or options:
            raise click.UsageError("--file goes with --prune and --dry-run alone: the file has all else.")
        await _set_file(client, file, prune=prune, dry_run=dry_run, as_json=as_json)
        return
    if not (group and name) or prune:
        raise click.UsageError("--prune needs --file." if prune else "It needs GROUP and NAME, or --file.")
    given = _given(options)
    if dry_run:
        show_times(await client.preview_schedule(given, _PREVIEWED), as_json=as_json)
        return
    made = await client.put_schedule(group, name, given)
    if as_json:
        show_json(ScheduleWrapper(made))
    else:
        following = when_of(made, made.next_at)
        click.echo(line(f"{made.name} {made.state}" + (f", next {following}" if following else "")))


def when_of(schedule: Schedule, at: str | UnsetType | None) -> str:
    """A time of a schedule in the zone of its cron: 'in 2 h (today 07:30:00 CET)'; '' for none.

    Without cron, or if only a newer broker knows that zone, it is in the zone of this machine.
    """
    if not at:
        return ""
    try:
        return when(at, Zone.of(schedule.zone).as_tzinfo if schedule.cron else None)
    except TimetableError:
        return when(at)


def show_times(found: TimesWrapper, *, as_json: bool) -> None:
    """Print times of a schedule."""
    if as_json:
        show_json(found)
        return
    with listing("times", _TIME_COLUMNS, _time_row, as_json=False, empty="It never fires again.") as shown:
        shown.show(found.times)


def _time_row(time: Upcoming) -> tuple[object, ...]:
    jitter = f"{time.jitter / 1000:g}s" if time.jitter else ""
    return time.at, time.local, jitter, "moved out of a gap" if time.moved else ""


def _given(options: dict[str, Any]) -> NewSchedule:
    options = with_unique(options)
    if "job_key" in options:
        options["key"] = options.pop("job_key")
    job = {field: options.pop(field) for field in _JOB_FIELDS if field in options}
    if "cron" in options:
        crons = options["cron"]
        options["cron"] = crons[0] if len(crons) == 1 else list(crons)
    return from_options(NewSchedule, options | {"job": job})


async def _set_file(client: Client, file: Path, *, prune: bool, dry_run: bool, as_json: bool) -> None:
    answers = JsonList("schedules")
    wanted = read_schedules(file)
    try:
        async for change in apply_schedules(client, wanted, prune=prune, dry_run=dry_run):
            if as_json:
                answers.show([change])
            else:
                click.echo(line(f"{change.group} {change.name} {change.what}"))
    finally:
        if as_json:
            answers.end()
