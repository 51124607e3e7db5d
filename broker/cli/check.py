"""`titan check`: checks that the data in the store is consistent."""

import click
from msgspec import Struct

from broker.cli.client_options import option
from broker.cli.commands import TitanCommand
from broker.cli.event_loop import run
from broker.cli.options import example, json_option
from broker.cli.output import listing, progress
from broker.cli.store_options import existing_store, group_names, store_options
from broker.core.errors import StartFailed
from broker.core.words import counted
from broker.diagnostics.consistency import Scope, steps_of
from broker.diagnostics.consistency import check as check_store
from broker.resp.marks import READS, WRITES
from broker.store.format.maintenance_replies import Finding


class CheckRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A finding as it is printed."""

    group: str
    id: str = ""
    what: str
    repaired: bool = False


@example("titan check", "titan check --group mail", "titan check --repair --redis-url redis://localhost:6379/0")
@click.command(cls=TitanCommand)
@store_options
@option(
    "--repair/--no-repair",
    default=False,
    show_default=True,
    help="Repair each finding; the sets of jobs by status count as right.",
)
@option("--group", multiple=True, metavar="GROUP", callback=group_names, help="Check only this group. Repeatable.")
@option(
    "--partition",
    multiple=True,
    type=click.IntRange(min=0),
    metavar="NUMBER",
    help="Check only this partition, from 0. Repeatable.",
)
@json_option
@click.pass_context
def check(
    context: click.Context,
    /,
    *,
    repair: bool,
    group: tuple[str, ...],
    partition: tuple[int, ...],
    as_json: bool,
    **_: object,
) -> None:
    """Check that the store's data is consistent: sets, job records, the ready index and timers.

    It works in small steps and may run during normal traffic. With --group it does not look for remains of deleted
    jobs, which belong to no group. The exit code is 1 when there are findings, also when they were repaired.
    """
    if group and partition:
        raise click.UsageError("Give --group or --partition: a group is in one partition.", ctx=context)
    scopes = [*(Scope(group=name) for name in group), *(Scope(partition=number) for number in partition)]
    findings = run(_findings(context, scopes or [Scope()], is_repair=repair))
    rows = [CheckRow(group=f.group, id=f.job_id, what=f.what, repaired=f.is_repaired) for f in findings]
    columns: tuple[str, ...] = ("group", "id", "what")
    cells = _cells
    if repair:
        columns, cells = (*columns, "repaired"), _repaired_cells
    with listing("findings", columns, cells, as_json=as_json) as shown:
        shown.show(rows)
    if not as_json:
        repaired = sum(row.repaired for row in rows)
        click.echo(counted(len(rows), "finding") + (f", {repaired} repaired" if rows and repair else ""), err=True)
    context.exit(1 if rows else 0)


async def _findings(context: click.Context, scopes: list[Scope], *, is_repair: bool) -> list[Finding]:
    findings: dict[Finding, None] = {}
    async with existing_store(context) as store:
        await store.verify(WRITES if is_repair else READS)
        for scope in scopes:
            if scope.partition is not None and scope.partition >= len(store.partitions):
                raise StartFailed(f"--partition {scope.partition}: the store has 0 to {len(store.partitions) - 1}.")
        steps = sum([await steps_of(store, scope) for scope in scopes])
        with progress(steps, "Checking", is_wanted=True) as bar:
            for scope in scopes:
                findings.update(
                    dict.fromkeys(await check_store(store, scope, is_repair=is_repair, progress=bar.update))
                )
    return list(findings)


def _cells(row: CheckRow) -> tuple[str, ...]:
    return (row.group, row.id or "-", row.what)


def _repaired_cells(row: CheckRow) -> tuple[str, ...]:
    return (*_cells(row), "yes" if row.repaired else "no")
