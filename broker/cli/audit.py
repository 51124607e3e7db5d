"""`titan audit`: who did what, the newest first."""

import click

from broker.cli.client_options import option, with_broker
from broker.cli.commands import EXIT_CODES, TitanCommand
from broker.cli.moments import age, wide_option
from broker.cli.options import example
from broker.cli.output import listing
from broker.models.audit import AuditEntry
from broker.models.fields import MAX_JOBS
from worker.client import Client

_COLUMNS = ("at", "age", "by", "address", "act", "group", "n", "outcome", "ids", "detail")


@example("titan audit", "titan audit --all --json | jq -r '.entries[] | select(.act == \"delete\").ids[]'")
@click.command(epilog=EXIT_CODES, cls=TitanCommand)
@option("-n", "--n", default=50, type=click.IntRange(1, MAX_JOBS), show_default=True, help="Maximum number of acts.")
@option("--all", "every", is_flag=True, envvar="TITAN_AUDIT_ALL", help="List all acts, without a limit.")
@option("--cursor", default="", help="Continue an earlier list at its end.")
@wide_option
@with_broker
async def audit(client: Client, n: int, cursor: str, *, every: bool, as_json: bool) -> None:
    """List who cancelled, retried, deleted, promoted, configured, ordered, ran a bulk or logged in; the newest first.

    The store keeps about 10,000 acts. The same act on several jobs within a tenth of a second is one line.
    """
    n = MAX_JOBS if every else n
    with listing("entries", _COLUMNS, _row, as_json=as_json, empty="The audit has no act.") as shown:
        page = await client.audit(n, cursor)
        shown.show(page.entries, page.cursor or "")
        while every and page.cursor:
            page = await client.audit(n, page.cursor)
            shown.show(page.entries, page.cursor or "")


def _row(entry: AuditEntry) -> tuple[object, ...]:
    ids = " ".join(entry.ids or ())
    who = entry.by or "-", entry.address or "-"
    return entry.at, age(entry.at), *who, entry.act, entry.group or "-", entry.n, entry.outcome, ids, entry.detail or ""
