"""`titan scale`: how many workers some groups need."""

import click

from broker.cli.client_options import complete_groups, option, with_broker
from broker.cli.commands import TitanCommand
from broker.cli.options import example
from broker.cli.output import page, show_json
from broker.cli.quantities import Duration
from broker.models.scale import MOST_WORKERS, Scale
from worker.client import Client

_DAY_S = 86_400


@example("titan scale mail", "titan scale mail post --per-worker 4 --max 20")
@click.command(cls=TitanCommand, short_help="Say how many workers groups need.")
@click.argument("groups", metavar="GROUP...", nargs=-1, required=True, shell_complete=complete_groups)
@option(
    "--target",
    "target_s",
    default=60,
    type=Duration(1, _DAY_S),
    show_default=True,
    help="In which time the jobs that wait should be finished, such as 90s or 5m.",
)
@option(
    "--per-worker",
    default=8,
    type=click.IntRange(1, 10_000),
    show_default=True,
    help="How many jobs a worker runs at a time.",
)
@option("--min", "least", default=0, type=click.IntRange(0, MOST_WORKERS), show_default=True, help="Fewest workers.")
@option("--max", "most", default=1000, type=click.IntRange(0, MOST_WORKERS), show_default=True, help="Most workers.")
@option(
    "--ahead",
    "ahead_s",
    default=30,
    type=Duration(0, _DAY_S),
    show_default=True,
    help="Delayed jobs count that are due within this time, such as 90s or 5m.",
)
@with_broker
async def scale(
    client: Client,
    groups: tuple[str, ...],
    *,
    target_s: int,
    per_worker: int,
    least: int,
    most: int,
    ahead_s: int,
    as_json: bool,
) -> None:
    """Say how many workers groups need, from what waits, what comes and how long jobs run.

    KEDA and other autoscalers read the same number over HTTP: GET /v1/groups/GROUP/scale.
    """
    goal = {"target_s": target_s, "per_worker": per_worker, "min": least, "max": most, "ahead_s": ahead_s}
    found = await client.scale(groups, goal)
    if as_json:
        show_json(found)
    else:
        click.echo(page(_rows(found)))
        click.echo(found.because)


def _rows(found: Scale) -> list[tuple[str, object]]:
    return [
        ("workers", str(found.workers)),
        ("queued", str(found.queued)),
        ("running", str(found.running)),
        ("due soon", str(found.due_soon)),
        ("arrival", f"{found.arrival:.3g}/s"),
        ("run", f"{found.run_s:.3g} s"),
        ("oldest", f"{found.oldest_s:.3g} s"),
    ]
