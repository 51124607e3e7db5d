"""`titan bulk`: retries, cancels, deletes or promotes all jobs of a group that match; lists, shows and stops bulks."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

import click
import msgspec
from msgspec import UNSET

from broker.cli.bulk_options import bulk_options
from broker.cli.client_options import REFUSED, from_options, group_argument, option, with_broker
from broker.cli.commands import EXIT_CODES, CommandGroup, TitanCommand
from broker.cli.moments import age, when, wide_option
from broker.cli.options import example
from broker.cli.output import listing, page, progress, show_json
from broker.cli.safe_text import line
from broker.core.words import counted
from broker.models.bulk import DEFAULTS, ENDED, TAKES, Action, Bulk, BulkWrapper, NewBulk, RetryChanges
from broker.models.fields import MAX_JOBS
from worker.client import Client

_COLUMNS = ("id", "action", "group", "state", "matched", "done", "skipped", "refused", "a second", "by", "began")
_LOOK_S = 0.5
_DONE = {"retry": "retried", "cancel": "cancelled", "delete": "deleted", "promote": "promoted"}


@example("titan bulk retry mail --reason smtp_down --dry-run", "titan bulk list")
@click.group(cls=CommandGroup, epilog=EXIT_CODES)
def bulk() -> None:
    """Retry, cancel, delete or promote all jobs of a group that match.

    The broker does the work, at most at the given rate, and continues after a crash. A bulk acts only on jobs that
    exist when it begins.
    """


def _action(action: Action, summary: str, *examples: str) -> click.Command:
    default = ", ".join(DEFAULTS[action])
    others = "" if DEFAULTS[action] == TAKES[action] else f"; --status may name {', '.join(TAKES[action])}"

    async def run(client: Client, group: str, *, as_json: bool, **options: Any) -> int:
        return await begin_bulk(client, action, group, options, as_json=as_json)

    run.__doc__ = (
        f"{summary}\n\nWithout --status it acts on jobs that are {default}{others}. First it counts the jobs that "
        "match and asks, then it shows its progress. After Ctrl-C the bulk continues at the broker; `titan bulk "
        "show ID` shows it, and `titan bulk stop ID` stops it."
    )
    run.__name__ = action
    return example(*examples)(
        click.command(action, epilog=EXIT_CODES, cls=TitanCommand)(
            group_argument(bulk_options(action)(with_broker(run)))
        )
    )


async def begin_bulk(client: Client, action: Action, group: str, options: Mapping[str, Any], *, as_json: bool) -> int:
    """Begin a bulk from the values of `bulk_options`, ask before, and show its progress; the exit code."""
    given = from_options(NewBulk, _fields(action, options))
    if not (given.dry_run or options["yes"]):
        given = await _confirmed(client, group, given)
    begun = await client.bulk(group, given, options["key"])
    if not options["detach"]:
        begun = await followed(client, begun, is_quiet=as_json)
    _show(begun, as_json=as_json)
    return REFUSED if begun.state in {"stopped", "failed"} or begun.refused else 0


def _fields(action: Action, options: Mapping[str, Any]) -> dict[str, object]:
    names = set(NewBulk.__struct_fields__) - {"action"}
    return (
        {"action": action}
        | {name: value for name, value in options.items() if name in names}
        | {"status": list(dict.fromkeys(options["status"]))}
        | {"ids": [job_id for ids in options["ids"] for job_id in ids] or None}
        | {"set": dict(options.get("set", ())) or None}
    )


async def _confirmed(client: Client, group: str, given: NewBulk) -> NewBulk:
    """Count, and ask on the terminal; then no more jobs than counted. Raises UsageError without a terminal."""
    if not sys.stdin.isatty():
        raise click.UsageError("Without a terminal to ask on it needs --yes; --dry-run only counts.")
    counting = await client.bulk(group, msgspec.structs.replace(given, dry_run=True))
    matched = (await followed(client, counting)).matched
    click.confirm(f"{given.action.capitalize()} {counted(matched, 'job')} of {group}?", abort=True, err=True)
    at_most = matched if given.at_most is None else given.at_most
    return given if given.limit is not None else msgspec.structs.replace(given, at_most=at_most)


async def followed(client: Client, shown: Bulk, *, is_quiet: bool = False) -> Bulk:
    """Wait until a bulk has ended; the bulk then. Progress is on stderr."""
    with progress(shown.about, f"{shown.action} {shown.group}", is_wanted=not is_quiet) as bar:
        while shown.state not in ENDED:
            await asyncio.sleep(_LOOK_S if shown.looked else 0.05)
            before, shown = shown, await client.show_bulk(shown.id)
            bar.update(min(shown.looked, shown.about) - min(before.looked, before.about))
            if shown.state == "waiting" and before.state != "waiting":
                click.echo(f"waiting: {line(shown.why or '')}", err=True)
            if shown.state == "paused" and before.state != "paused":
                click.echo(f"paused: {line(shown.paused_because or '')} It continues when there is room.", err=True)
    return shown


def _show(shown: Bulk, *, as_json: bool) -> None:
    if as_json:
        show_json(BulkWrapper(shown))
        return
    count = f"{shown.matched:,} match" if shown.dry_run else f"{shown.done:,} {_DONE[shown.action]}"
    parts = [f"{shown.id} {shown.state}: {count}"]
    parts += [f"{number:,} skipped ({word})" for word, number in shown.skipped.items()]
    parts += [f"{number:,} refused ({word})" for word, number in shown.refused.items()]
    if shown.paused_because:
        parts.append(shown.paused_because)
    if shown.why:
        parts.append(f"{shown.why}: {shown.matched:,} match" if shown.why == "too_many" else shown.why)
    click.echo(line(", ".join(parts)))


@example("titan bulk list")
@click.command("list", cls=TitanCommand, short_help="List the bulks of the last 7 days.")
@option("-n", "--n", default=50, type=click.IntRange(1, MAX_JOBS), show_default=True, help="Maximum number of bulks.")
@option("--all", "every", is_flag=True, envvar="TITAN_BULK_LIST_ALL", help="List all bulks, without a limit.")
@option("--cursor", default="", help="Continue an earlier list at its end.")
@wide_option
@with_broker
async def list_(client: Client, n: int, cursor: str, *, every: bool, as_json: bool) -> None:
    """List the bulks of the last 7 days, the newest first."""
    n = MAX_JOBS if every else n
    with listing("bulks", _COLUMNS, _row, as_json=as_json, empty="There was no bulk in the last 7 days.") as shown:
        found = await client.bulks(n, cursor)
        shown.show(found.bulks, found.cursor or "")
        while every and found.cursor:
            found = await client.bulks(n, found.cursor)
            shown.show(found.bulks, found.cursor or "")


@example("titan bulk show 0hYjB6dJb7Pq2Xk9")
@click.command(cls=TitanCommand)
@click.argument("bulk_id", metavar="ID")
@wide_option
@with_broker
async def show(client: Client, bulk_id: str, *, as_json: bool) -> None:
    """Show one bulk and how far it is."""
    _page(await client.show_bulk(bulk_id), as_json=as_json)


@example("titan bulk stop 0hYjB6dJb7Pq2Xk9")
@click.command(cls=TitanCommand)
@click.argument("bulk_id", metavar="ID")
@with_broker
async def stop(client: Client, bulk_id: str, *, as_json: bool) -> None:
    """Stop a bulk.

    The jobs that it was done to stay as they are.
    """
    shown = await client.stop_bulk(bulk_id)
    _show(await followed(client, shown, is_quiet=True), as_json=as_json)


def _page(shown: Bulk, *, as_json: bool) -> None:
    if as_json:
        show_json(BulkWrapper(shown))
        return
    click.echo(page([(name, _value(name, getattr(shown, name))) for name in shown.__struct_fields__]))


def _value(name: str, value: Any) -> object:
    if value in (UNSET, None, [], {}):
        return UNSET
    if name.endswith("_at"):
        return when(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _words(value)


def _words(value: Any) -> object:
    if isinstance(value, RetryChanges):
        given = msgspec.to_builtins(value)
        return ", ".join(f"{name} {'default' if new is None else line(new)}" for name, new in given.items())
    if isinstance(value, dict):
        return ", ".join(f"{word} {number:,}" for word, number in value.items())
    return ", ".join(value) if isinstance(value, list) else value


def _row(shown: Bulk) -> tuple[object, ...]:
    skipped, refused = (f"{sum(counts.values()):,}" for counts in (shown.skipped, shown.refused))
    action = f"{shown.action} (dry run)" if shown.dry_run else shown.action
    counts = f"{shown.matched:,}", f"{shown.done:,}", skipped, refused, shown.per_second
    return shown.id, action, shown.group, shown.state, *counts, shown.by or "-", age(shown.created_at)


retry = _action(
    "retry",
    "Enqueue all failed jobs that match again, as new jobs.",
    "titan bulk retry mail --reason smtp_down --rate 100",
    "titan bulk retry mail --since 10:00 --completed-before 12:30 --set timeout=120 --dry-run",
    "titan bulk retry mail --ids 0hYjB6dJb7Pq2Xk9,0hYjB6dJb7Pq2XkA --set payload=@fixed.json --yes",
    "titan bulk retry mail --cause 3f0a9b1c22de --not-retried",
    "titan bulk retry mail --older-than 1h --yes --json",
)
cancel = _action("cancel", "Cancel all unfinished jobs that match.", "titan bulk cancel mail --status delayed --yes")
delete = _action(
    "delete", "Delete all finished jobs that match, with their logs.", "titan bulk delete mail --older-than 7d"
)
promote = _action("promote", "Queue all delayed jobs that match now.", "titan bulk promote mail --image send")

for _command in (retry, cancel, delete, promote, list_, show, stop):
    bulk.add_command(_command)
