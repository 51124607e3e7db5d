"""`titan schedule set`: puts one schedule from options, or all schedules of a file."""

import tomllib
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
from msgspec import Struct

from broker.cli.client_options import option, with_broker
from broker.cli.commands import TitanCommand
from broker.cli.moments import wide_option
from broker.cli.options import example
from broker.cli.output import show_json
from broker.cli.safe_text import line
from broker.models.schedules import NewSchedule, Overlap, ScheduleWrapper
from worker.client import Client

name_argument = click.argument("name", metavar="NAME")
OVERLAPS = click.Choice(get_args(Overlap))
_OF_JOB = ("image", "payload", "priority", "timeout")
_PAGE = 1000


class _Named(NewSchedule, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    group: str
    name: str

    def as_schedule(self) -> NewSchedule:
        """The schedule without its group and name."""
        return NewSchedule(**{name: getattr(self, name) for name in NewSchedule.__struct_fields__})


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    schedules: list[_Named]


@example(
    "titan schedule set mail digest --cron '30 7 * * 1-5' --zone Europe/Berlin --image digest --overlap queue",
    "titan schedule set -f schedules.toml --prune",
)
@click.command("set", cls=TitanCommand, short_help="Create or replace a schedule, or those of a file.")
@click.argument("group", metavar="GROUP", required=False)
@click.argument("name", metavar="NAME", required=False)
@option("--cron", multiple=True, help="A cron expression; repeatable.")
@option("--every", type=click.IntRange(1), metavar="S", help="A distance in place of cron, s.")
@option("--at", help="One time in place of cron, RFC 3339.")
@option("--zone", help="The time zone of cron; UTC if not given.")
@option("--jitter", type=click.IntRange(0, 3600), metavar="S", help="How much later it may fire, s.")
@option("--overlap", type=OVERLAPS, help="What to do while an earlier job has not ended; skip if not given.")
@option("--missed", type=click.Choice(["one", "all", "none"]), help="Which of the times that passed to fire for.")
@option("--max-fires", type=click.IntRange(1), help="After this number of jobs it is done.")
@option("--pause-after", type=click.IntRange(0, 1000), help="Pause after this number of failures in a row.")
@option("--image", help="The image of the job; that of the group if not given.")
@option("--payload", help="The payload of the job.")
@option("--priority", type=click.IntRange(0, 2), help="The priority of the job.")
@option("--timeout", type=click.IntRange(1), metavar="S", help="The timeout of the job, s.")
@option("-f", "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Schedules: TOML or JSON.")
@option("--prune", is_flag=True, help="Remove those of its groups that it does not have.")
@wide_option
@with_broker
async def set_(
    client: Client, group: str | None, name: str | None, file: Path | None, *, prune: bool, as_json: bool, **given: Any
) -> None:
    r"""Create or replace a schedule, or all schedules of a file.

    What is not given gets its default. The same schedule again changes nothing, so a file may be set at each
    deployment:

    \b
        [[schedules]]
        group = "mail"
        name = "digest"
        cron = "30 7 * * 1-5"
        zone = "Europe/Berlin"
        job = { image = "digest" }
    """
    if file is not None:
        if group or any(value not in (None, ()) for value in given.values()):
            raise click.UsageError("Give a group and a name with options, or -f FILE.")
        await _set_file(client, _read(file), prune=prune, as_json=as_json)
        return
    if not group or not name or prune:
        raise click.UsageError("Give a group and a name, or -f FILE; --prune is for -f.")
    schedule = await client.put_schedule(group, name, _schedule_of(given))
    if as_json:
        show_json(ScheduleWrapper(schedule))
    else:
        click.echo(line(f"{name} {schedule.state}, next {schedule.next_at or 'never'}"))


def _schedule_of(given: dict[str, Any]) -> NewSchedule:
    """The schedule that the options say. Raises UsageError."""
    fields = {key: value for key, value in given.items() if value not in (None, ())}
    job = {key: fields.pop(key) for key in _OF_JOB if key in fields}
    if "cron" in fields:
        fields["cron"] = list(fields["cron"]) if len(fields["cron"]) > 1 else fields["cron"][0]
    try:
        return msgspec.convert({**fields, "job": job}, NewSchedule)
    except msgspec.ValidationError as error:
        raise click.UsageError(str(error)) from None


def _read(file: Path) -> list[_Named]:
    """The schedules of a file. Raises UsageError for one that is not valid."""
    try:
        content = file.read_bytes()
        given = msgspec.json.decode(content) if file.suffix == ".json" else tomllib.loads(content.decode())
        return msgspec.convert(given, _File).schedules
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file}: {error}") from None


async def _set_file(client: Client, named: list[_Named], *, prune: bool, as_json: bool) -> None:
    done: list[dict[str, str]] = []
    for each in named:
        schedule = await client.put_schedule(each.group, each.name, each.as_schedule())
        done.append({"group": each.group, "name": each.name, "state": schedule.state})
    if prune:
        kept = {(each.group, each.name) for each in named}
        for group in dict.fromkeys(each.group for each in named):
            for name in await _names(client, group):
                if (group, name) not in kept:
                    await client.remove_schedule(group, name)
                    done.append({"group": group, "name": name, "state": "removed"})
    if as_json:
        show_json({"schedules": done})
        return
    for one in done:
        click.echo(line(f"{one['group']} {one['name']} {one['state']}"))


async def _names(client: Client, group: str) -> list[str]:
    names: list[str] = []
    cursor = ""
    while True:
        found = await client.schedules(group, _PAGE, cursor)
        names += [schedule.name for schedule in found.schedules]
        cursor = found.cursor or ""
        if not cursor:
            return names
