"""What a run is judged by: figures that must be 0, and bounds in seconds."""

from collections.abc import Mapping
from typing import Any

BULK = ("bulk left", "bulk twice", "bulk unended", "bulk gone", "bulk miscounted")
FLOWS = ("flow jobs early", "flow jobs twice", "flow jobs left", "keys run twice", "keys held in the end")
BATCHES = ("batches left", "batches twice", "batches miscounted", "callbacks twice", "callbacks wrong")
DEAD_LETTERS = ("dead letters lost", "dead letters twice", "dead letters wrong", "doomed jobs left")
SCHEDULES = (
    *("fires twice", "fires lost", "fires at other times", "fires miscounted", "fires misremembered"),
    *("fires overlapping", "schedules behind", "scheduled jobs left"),
)
LANES = ("keys over their limit", "keys out of order", "rate exceeded", "lane jobs left", "lanes left")
ZERO = (
    "lost outside windows",
    "double outside windows",
    "finished twice outside windows",
    "stale reports accepted outside windows",
    "unfinished",
    "duplicated",
    "torn",
    "unexpected",
    "failures counted twice",
    "bad exits",
    "findings",
    "crashes",
    *BULK,
    *FLOWS,
    *BATCHES,
    *DEAD_LETTERS,
    *SCHEDULES,
    *LANES,
)
"""What may never be anything else. Windows are in `windows.py`; a single server and several servers have none."""

AT_MOST = {"slowest 503 s": 3.0, "lease overdue max s": 2.0, "longest 503s s": 8.0}
"""A 503 is promised within 2 s, a lost job within 1 s of its lease's end, and calls again within 6 s of a failover; a
machine that has more to do than this run gets some more before it counts."""
AWAY_S = 2.0
"""Brokers look for a server that was away every 2 s at least, and for a new primary as often: leases wait as long."""


def broken(figures: Mapping[str, Any]) -> list[str]:
    """The figures that break a promise; also where nothing was put to the test at all."""
    found = [name for name in ZERO if figures[name]]
    more = {} if figures["topology"] == "single" else {"lease overdue max s": AWAY_S}
    found += [name for name, bound in AT_MOST.items() if figures[name] > bound + more.get(name, 0)]
    found += [name for name in ("drained", "acknowledged") if not figures[name]]
    return found


def summary(figures: Mapping[str, Any]) -> str:
    """The run in one line."""
    parts = [f"{figures['seconds']:g} s", f"{sum(figures['faults'].values())} faults"]
    parts += [f"{figures['acknowledged']:,} acknowledged", *(_counted(figures, name) for name in ("lost", "double"))]
    return f"{figures['topology']}: {', '.join(parts)}, longest 503s {figures['longest 503s s']:.1f} s"


def _counted(figures: Mapping[str, Any], name: str) -> str:
    outside = figures[f"{name} outside windows"]
    text = f"{figures[name]:,} {name}"
    return f"{text} ({outside:,} outside windows)" if figures[name] else text
