"""`titan group stats`: what happened to the jobs of a group, or of all groups, in the last hour or day."""

from collections.abc import Sequence
from typing import Any, get_args

import click
from msgspec import UNSET, UnsetType

from broker.cli.client_options import complete_groups, option, with_broker
from broker.cli.commands import TitanCommand
from broker.cli.options import example
from broker.cli.output import page, show_json
from broker.cli.table import TextTable
from broker.core.words import counted
from broker.models.stats import Slot, Stats, Times, Window
from worker.client import Client

_COUNTS = Slot.__struct_fields__[1:]
_COLUMNS = ("at (UTC)", *(name.rstrip("_") for name in _COUNTS))
_SPANS: dict[Window, str] = {"1h": "the last hour", "24h": "the last 24 hours"}


@example("titan group stats mail", "titan group stats mail --window 24h")
@click.command(cls=TitanCommand, short_help="Show a group's jobs and times over a period.")
@click.argument("group", metavar="[GROUP]", default="", shell_complete=complete_groups)
@option(
    "--window",
    type=click.Choice(get_args(Window)),
    default="1h",
    show_default=True,
    help="The last hour by minute, or the last day by half hour.",
)
@with_broker
async def stats(client: Client, group: str, *, window: Window, as_json: bool) -> None:
    """Show how many jobs of a group came, ran and failed, and how long they waited and ran.

    Without GROUP: of all groups. Brokers write their counts every 10 s; a broker that is killed loses the counts since
    then. `retried` counts automatic retries.
    """
    found = await client.stats(group, window)
    if as_json:
        show_json(found)
        return
    click.echo(page(_summary(group, found)))
    busy = [slot for slot in found.slots if any(_numbers(slot))]
    if busy:
        click.echo()
        table = TextTable(_COLUMNS, lambda slot: (slot.at[11:16], *_numbers(slot)))
        table.show(busy)
    if found.away is not UNSET:
        click.echo(f"Partitions that did not answer, so that their groups are missing: {_listed(found.away)}", err=True)


def _summary(group: str, found: Stats) -> list[tuple[str, object]]:
    sums = {name: sum(getattr(slot, name) for slot in found.slots) for name in _COUNTS}
    return [
        (group or "all groups", _SPANS[found.window]),
        *((name.rstrip("_"), str(n)) for name, n in sums.items()),
        ("wait", _times(found.wait)),
        ("run", _times(found.run)),
    ]


def _times(times: Times) -> str:
    if times.n == 0:
        return "-"
    parts = (("p50", times.p50), ("p95", times.p95), ("p99", times.p99))
    return f"{', '.join(f'{name} {_seconds(value)}' for name, value in parts)} of {counted(times.n, 'job')}"


def _seconds(value: float | UnsetType) -> str:
    return "-" if value is UNSET else f"{value:.3g} s"


def _numbers(slot: Slot) -> list[Any]:
    return [getattr(slot, name) for name in _COUNTS]


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
