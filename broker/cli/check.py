"""`titan check`: checks that the data in the store is consistent."""

import click
from msgspec import Struct

from broker.cli.event_loop import run
from broker.cli.options import example, json_option
from broker.cli.output import listing, progress
from broker.cli.store_options import existing_store, store_options
from broker.core.words import counted
from broker.diagnostics.consistency import check as check_store
from broker.store.format.replies import Finding


class CheckRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A finding as it is printed."""

    group: str
    id: str = ""
    what: str


@example("titan check", "titan check --repair --redis-url redis://localhost:6379/0")
@click.command()
@store_options
@click.option(
    "--repair/--no-repair",
    default=False,
    show_default=True,
    show_envvar=True,
    help="Repair each finding; the sets of jobs by status count as right.",
)
@json_option
@click.pass_context
def check(context: click.Context, /, *, repair: bool, as_json: bool, **_: object) -> None:
    """Check that the store's data is consistent: sets, job records, the ready index and timers.

    It works in small steps and may run during normal traffic. The exit code is 1 when there are findings, also when
    they were repaired.
    """
    rows = [CheckRow(group=f.group, id=f.job_id, what=f.what) for f in run(_findings(context, is_repair=repair))]
    with listing("findings", ("group", "id", "what"), _cells, as_json=as_json) as shown:
        shown.show(rows)
    if not as_json:
        click.echo(counted(len(rows), "finding") + (", repaired" if rows and repair else ""), err=True)
    context.exit(1 if rows else 0)


async def _findings(context: click.Context, *, is_repair: bool) -> list[Finding]:
    async with existing_store(context) as store:
        with progress(None, "job", is_wanted=True) as bar:
            return await check_store(store, is_repair=is_repair, progress=bar.update)


def _cells(row: CheckRow) -> tuple[str, ...]:
    return (row.group, row.id or "-", row.what)
