"""What `titan top` shows: its columns, the cells of a group, and a line about all of them."""

from typing import get_args

from msgspec import UNSET

from broker.cli.moments import compact
from broker.cli.table import BAD, Column
from broker.core.words import counted
from broker.models.overview import GroupGlance, Overview, Sort

COLUMNS = (
    Column("group", can_cut=True),
    Column("queued"),
    Column("running"),
    Column("delayed", drop=1),
    Column("failed 1h"),
    Column("in/s", drop=2),
    Column("out/s", drop=2),
    Column("oldest"),
    Column("state", styles={"paused": BAD}),
)
SORTS: tuple[Sort, ...] = get_args(Sort)


def row_of(group: GroupGlance) -> tuple[object, ...]:
    """The cells of a group, in the order of COLUMNS."""
    counts = group.counts
    return (
        group.name,
        counts.queued,
        counts.running,
        counts.delayed,
        group.rates.failed_1h,
        f"{group.rates.in_:.3g}",
        f"{group.rates.out:.3g}",
        "" if group.oldest_s is UNSET or group.oldest_s is None else compact(group.oldest_s),
        "paused" if group.settings.paused else "",
    )


def summary_of(found: Overview) -> str:
    """One line about all groups and workers."""
    totals = found.totals
    parts = [counted(totals.groups, "group"), f"{totals.queued:,} queued", f"{totals.running:,} running"]
    parts.append(f"{found.rates.in_:.3g}/s in, {found.rates.out:.3g}/s out")
    if found.workers is not UNSET:
        workers = found.workers
        parts.append(f"{counted(workers.n, 'worker')}, {workers.busy:,} of {workers.slots:,} slots busy")
    return " · ".join(parts)
