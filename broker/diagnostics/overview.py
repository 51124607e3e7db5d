"""The overview: totals and alerts from the last sweep, and a page of groups, read again."""

import asyncio
import heapq
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET

from broker.core.errors import Invalid
from broker.core.timestamps import rfc3339
from broker.diagnostics.alerts import MOST_ALERTS, is_failing, is_stuck, unsettled
from broker.diagnostics.overdue import unsettled_ms
from broker.diagnostics.snapshot import Reaches, Share, Snapshots
from broker.models.groups import Counts
from broker.models.overview import Alert, GroupGlance, Only, Overview, Rates, Sort, Totals
from broker.store.format.glances import RECENT, GroupRow
from broker.store.group_counts import FAILED, IN, OUT, SUCCEEDED

if TYPE_CHECKING:
    from broker.store.job_store import JobStore

_CURSOR = re.compile(r"([a-z]+\.[a-z]+)\.(-?\d{1,16})\.([A-Za-z0-9_-]{1,128})", re.ASCII)
_NEVER = -(2**53)
_MOST_PAGES = 100

_VALUES: dict[Sort, Callable[[GroupRow], int]] = {
    "name": lambda _: 0,
    "oldest": lambda row: _NEVER if row.oldest_at is None else -row.oldest_at,
    "delayed": lambda row: row.counts[0],
    "queued": lambda row: row.counts[1],
    "running": lambda row: row.counts[2],
    "failed": lambda row: row.hour[FAILED],
    "in": lambda row: row.recent[IN],
    "out": lambda row: row.recent[OUT],
}
_KEPT: dict[Only, Callable[[GroupRow, int], bool]] = {
    "failing": lambda row, _: is_failing(row),
    "stuck": is_stuck,
    "paused": lambda row, _: row.limits.paused,
    "busy": lambda row, _: row.running > 0,
}


class GroupFilter(NamedTuple):
    """Which groups, in which order. `only`: groups of any of these kinds. `is_rising`: smallest values first."""

    n: int = 50
    cursor: str = ""
    sort: Sort = "oldest"
    is_rising: bool = False
    q: str = ""
    only: Sequence[Only] = ()


async def overview(
    store: "JobStore",
    snapshots: Snapshots,
    chosen: GroupFilter,
    reaches: Reaches | None = None,
    warnings: Sequence[str] = (),
) -> Overview:
    """What a person sees first. `reaches`: which groups the caller may see, None for all. `warnings` of the store.

    Raises Invalid for an invalid cursor, StoreUnavailable.
    """
    begin = _begin_of(chosen)
    snapshot = await snapshots.current()
    share = snapshot.share_of(reaches)
    now = snapshot.as_of + round(1000 * snapshot.age_s)
    if chosen.q or chosen.only:
        found: Sequence[GroupRow] = [row for row in share.rows if _matches(row, chosen, now)]
        names, cursor = _page(found, chosen, begin)
    else:
        found = share.rows
        names, cursor = _page_of_all(share, chosen, begin)
    shown, read_at, away = await store.glances.named(names)
    late = unsettled(await _unsettled_s(store)) if reaches is None else []
    return Overview(
        as_of=rfc3339(snapshot.as_of),
        is_whole=snapshot.is_whole,
        totals=Totals(groups=share.n, **dict(zip(Counts.__struct_fields__, share.total.counts, strict=True))),
        rates=_rates(share.total, now),
        oldest_s=UNSET if share.total.oldest_at is None else _since(share.total.oldest_at, now),
        workers=snapshot.workers if reaches is None else UNSET,
        alerts=[*(Alert(code="store", text=text) for text in warnings), *late, *share.alerts][:MOST_ALERTS],
        groups=[_glance(shown[name], read_at) for name in names if name in shown],
        matched=len(found),
        cursor=cursor or UNSET,
        away=sorted(snapshot.away | away) or UNSET,
    )


async def _unsettled_s(store: "JobStore") -> float:
    """How long the first end of a job waits to be settled, in s. Partitions that do not answer count as 0."""
    asked = [unsettled_ms(store, name) for name in store.partitions]
    found = await asyncio.gather(*asked, return_exceptions=True)
    return max((age for age in found if isinstance(age, float)), default=0.0) / 1000


def _page_of_all(share: Share, chosen: GroupFilter, begin: tuple[int, str] | None) -> tuple[list[str], str]:
    """A page of all groups, sorted once for each sweep."""
    asked = (chosen.n, chosen.cursor, chosen.sort, chosen.is_rising)
    if asked not in share.pages:
        if len(share.pages) >= _MOST_PAGES:
            share.pages.clear()
        share.pages[asked] = _page(share.rows, chosen, begin)
    return share.pages[asked]


def _matches(row: GroupRow, chosen: GroupFilter, now: int) -> bool:
    if chosen.q and chosen.q.lower() not in row.name.lower():
        return False
    return not chosen.only or any(_KEPT[kind](row, now) for kind in chosen.only)


def _begin_of(chosen: GroupFilter) -> tuple[int, str] | None:
    """The value and the name of the last group of the page before. Raises Invalid."""
    if not chosen.cursor:
        return None
    parts = _CURSOR.fullmatch(chosen.cursor)
    if parts is None or parts[1] != _order_of(chosen):
        raise Invalid("cursor is not the cursor of an answer in this order.", fields="cursor")
    return int(parts[2]), parts[3]


def _order_of(chosen: GroupFilter) -> str:
    return f"{chosen.sort}.{'asc' if chosen.is_rising else 'desc'}"


def _page(rows: Iterable[GroupRow], chosen: GroupFilter, begin: tuple[int, str] | None) -> tuple[list[str], str]:
    """The names of a page, and its cursor, '' at the end. Groups with the same value are ordered by name."""
    names, place = _names(rows, chosen, begin)
    return names, place and f"{_order_of(chosen)}.{place}"


def _names(rows: Iterable[GroupRow], chosen: GroupFilter, begin: tuple[int, str] | None) -> tuple[list[str], str]:
    """The names of a page, and the value and name of its last group, '' at the end."""
    value, sign = _VALUES[chosen.sort], 1 if chosen.is_rising else -1
    if chosen.sort == "name" and not chosen.is_rising:
        return _page_by_falling_name(rows, chosen.n, begin)
    keys: Iterable[tuple[int, str]] = ((sign * value(row), row.name) for row in rows)
    if begin is not None:
        after = (sign * begin[0], begin[1])
        keys = (key for key in keys if key > after)
    first = heapq.nsmallest(chosen.n + 1, keys)
    names = [name for _, name in first[: chosen.n]]
    return names, f"{sign * first[chosen.n - 1][0]}.{names[-1]}" if len(first) > chosen.n else ""


def _page_by_falling_name(rows: Iterable[GroupRow], n: int, begin: tuple[int, str] | None) -> tuple[list[str], str]:
    names = (row.name for row in rows if begin is None or row.name < begin[1])
    first = heapq.nlargest(n + 1, names)
    return first[:n], f"0.{first[n - 1]}" if len(first) > n else ""


def _glance(row: GroupRow, now: int) -> GroupGlance:
    return GroupGlance(
        name=row.name,
        counts=Counts(**dict(zip(Counts.__struct_fields__, row.counts, strict=True))),
        settings=row.limits,
        oldest_s=UNSET if row.oldest_at is None else _since(row.oldest_at, now),
        rates=_rates(row, now),
        spark=list(row.spark or ()),
    )


def _rates(row: GroupRow, now: int) -> Rates:
    """Jobs a second: of the last whole minutes and the present one, over the time that these have lasted."""
    span_s = (RECENT - 1) * 60 + now % 60_000 / 1000
    by_second = [round(n / span_s, 3) for n in row.recent]
    return Rates(
        in_=by_second[IN],
        out=by_second[OUT],
        failed=by_second[FAILED],
        failed_1h=row.hour[FAILED],
        ended_1h=row.hour[SUCCEEDED] + row.hour[FAILED],
    )


def _since(at: int, now: int) -> float:
    return max(0, now - at) / 1000
