"""All groups at a glance: one sweep over them, for the overview and for /metrics.

The sweep reads groups in small steps during live traffic, only while somebody asks for it, and rests much longer than
it works: it takes at most 0.45 % of the time of the store.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from broker.core.errors import StoreUnavailable, TitanError
from broker.diagnostics.alerts import alerts_of
from broker.models.groups import Counts
from broker.models.overview import Alert, WorkerTotals
from broker.store.format.glances import EMPTY, GroupRow, total_of

if TYPE_CHECKING:
    from broker.store.job_store import JobStore

STATUSES = Counts.__struct_fields__
PAGE = 200
"""Groups that one step reads, of all partitions together."""
EVERY_S = 0.5
"""The time between two sweeps, at least, in s: with live.EVERY_S a new group is shown within 3 s."""
REST = 220
"""After a sweep it rests for this many times as long as the store took for it."""
REST_MOST_S, REST_GROUP_S = 11.0, 0.0011
"""The longest rest, in s, and that for each group where that is longer: a store that is slow to answer because of other
work is not spared by it. A group takes about 4 µs of the store."""
ASKED_S = 60.0
"""How long it continues to sweep after somebody asked for the overview, in s."""
MOST_ROWS = 100_000
"""Groups that a snapshot keeps. Further ones are counted only."""
_FIRST_S = 1.5
"""How long a caller waits for the first sweep, in s."""
_WORKERS = 1000

_log = logging.getLogger(__name__)


Reaches = Callable[[str], bool]
"""Whether a caller may see a group."""


def rest_s(store_s: float, groups: int) -> float:
    """The time between the end of a sweep and the next one, in s, after one over this number of groups."""
    return max(EVERY_S, min(REST * store_s, max(REST_MOST_S, REST_GROUP_S * groups)))


class Share(NamedTuple):
    """What a caller may see of a snapshot: rows, their number with those that are not kept, sums, and alerts.

    `pages`: names and cursor of the pages that were asked for. A sweep over many groups is shown for many seconds, and
    to sort 10,000 groups takes 10 ms.
    """

    rows: Sequence[GroupRow]
    n: int
    total: GroupRow
    alerts: list[Alert]
    pages: dict[Hashable, tuple[list[str], str]]


class Snapshot:
    """What a sweep found. `taken_at`: when, by the monotonic clock, s; `as_of`: the same by the store's clock, ms.

    `jobs` and `groups` count by partition, `waits` by partition and what jobs wait for, `full_lanes` the
    keys of which jobs wait for a place, `states` the workers by state.
    `store_s`: how long the store took. `away`: partitions that did not answer; their groups are missing.
    """

    def __init__(self, partitions: int) -> None:
        self.as_of = 0
        self.taken_at = time.monotonic()
        self.store_s = 0.0
        self.rows: list[GroupRow] = []
        self.jobs: Counter[tuple[int, str]] = Counter()
        self.groups: Counter[int] = Counter()
        self.waits: Counter[tuple[int, str]] = Counter()
        self.full_lanes: Counter[int] = Counter()
        self.total = EMPTY
        self.workers = WorkerTotals()
        self.states: Counter[str] = Counter()
        self.away: set[int] = set()
        self._rows: dict[int, list[GroupRow]] = {number: [] for number in range(partitions)}
        self._totals = dict.fromkeys(range(partitions), EMPTY)
        self._shares: dict[Reaches | None, Share] = {}

    @property
    def is_whole(self) -> bool:
        """Whether it keeps each group that it has counted."""
        return len(self.rows) == self.groups.total()

    @property
    def age_s(self) -> float:
        """How old it is."""
        return time.monotonic() - self.taken_at

    def add(self, number: int, rows: list[GroupRow]) -> None:
        """Add groups of a partition."""
        self._rows[number] += rows[: max(0, MOST_ROWS - sum(map(len, self._rows.values())))]
        self.groups[number] += len(rows)
        self._totals[number] = total_of((self._totals[number], *rows))
        for row in rows:
            if row.queued or any(row.waiting):
                self.waits.update({(number, why): n for why, n in row.waits.items()})
                self.full_lanes[number] += row.full_lanes

    def share_of(self, reaches: Reaches | None) -> Share:
        """What a caller may see; None: all. It is computed once for each caller."""
        share = self._shares.get(reaches)
        if share is None:
            if reaches is None:
                rows, n, total = self.rows, self.groups.total(), self.total
            else:
                rows = [row for row in self.rows if reaches(row.name)]
                n, total = len(rows), total_of(rows)
            share = self._shares[reaches] = Share(rows, n, total, alerts_of(rows, self.as_of), {})
        return share

    def end(self, away: set[int]) -> None:
        """The sweep has ended: leave out the partitions that stopped answering."""
        self.taken_at, self.away = time.monotonic(), away
        here = [number for number in self._rows if number not in away]
        self.rows = [row for number in here for row in self._rows[number]]
        self.groups = Counter({number: self.groups[number] for number in here})
        self.waits = Counter({key: n for key, n in self.waits.items() if key[0] not in away})
        self.total = total_of(self._totals[number] for number in here)
        for number in here:
            for status, n in zip(STATUSES, self._totals[number].counts, strict=True):
                self.jobs[number, status] = n
        self._rows = {}


class Snapshots:
    """Sweeps while it is asked. `last` is the newest snapshot, None before the first."""

    def __init__(self, store: "JobStore") -> None:
        self.last: Snapshot | None = None
        self._store = store
        self._asked_at = float("-inf")
        self._sweeping: asyncio.Task[None] | None = None
        self._swept = asyncio.Event()

    async def current(self) -> Snapshot:
        """The newest snapshot; further ones are made for a minute. Raises StoreUnavailable."""
        self._asked_at = time.monotonic()
        self._begin()
        if self.last is None or self._is_empty or self.last.age_s > 2 * self._rest_s:  # nobody asked for a while
            await self._wait(_FIRST_S)
        if self.last is None:
            raise StoreUnavailable("The groups are being read for the first time; try again.", retry_after_s=1)
        if self._is_empty:
            raise StoreUnavailable
        return self.last

    async def at_most(self, age_s: float, patience_s: float) -> Snapshot | None:
        """The newest snapshot. It begins a sweep if that is too old, and waits for the first one only."""
        if self.last is None or self.last.age_s > max(age_s, REST * self.last.store_s):
            self._begin()
        if self.last is None:
            await self._wait(patience_s)
        return self.last

    async def close(self) -> None:
        """Stop sweeping."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    @property
    def _is_empty(self) -> bool:
        """Whether no partition answered the last sweep: the store may be back since."""
        return self.last is not None and len(self.last.away) == len(self._store.partitions)

    @property
    def _rest_s(self) -> float:
        if self.last is None or self._is_empty:
            return EVERY_S  # nothing was read
        return rest_s(self.last.store_s, self.last.groups.total())

    def _begin(self) -> None:
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.create_task(self._sweep_while_asked())

    async def _wait(self, limit_s: float) -> None:
        """Wait for the end of a sweep."""
        self._swept.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._swept.wait()

    async def _sweep_while_asked(self) -> None:
        while True:
            try:
                self.last = await self._sweep()
            except TitanError as fault:
                _log.debug("the groups were not read: %s", fault)
            except Exception:
                _log.exception("the sweep over the groups crashed")
                raise
            finally:
                self._swept.set()
            await asyncio.sleep(self._rest_s if time.monotonic() - self._asked_at < ASKED_S else 0)
            if time.monotonic() - self._asked_at > ASKED_S:
                return

    async def _sweep(self) -> Snapshot:
        numbers = range(len(self._store.partitions))
        snapshot, n = Snapshot(len(numbers)), max(1, PAGE // len(numbers))
        after, away = dict.fromkeys(numbers, ("", "")), set()
        while after:
            pages, store_s = await self._store.glances.page(n, after)
            snapshot.store_s += store_s
            for number, page in pages.items():
                if isinstance(page, TitanError):
                    away.add(number)
                    del after[number]
                    continue
                snapshot.as_of = max(snapshot.as_of, page.now)
                snapshot.add(number, page.rows)
                if len(page.rows) < n:
                    del after[number]
                else:
                    after[number] = (page.rows[-1].created_at, page.rows[-1].name)
            await asyncio.sleep(0)
        snapshot.end(away)
        snapshot.workers, snapshot.states = await self._workers()
        return snapshot

    async def _workers(self) -> tuple[WorkerTotals, Counter[str]]:
        """The sums over all workers, and how many have each state; the last ones if their partition does not answer."""
        workers, after = [], ""
        try:
            while True:
                page, after = await self._store.workers.list(_WORKERS, after)
                workers += page
                if not after:
                    break
        except TitanError:
            return (self.last.workers, self.last.states) if self.last is not None else (WorkerTotals(), Counter())
        totals = WorkerTotals(
            n=len(workers),
            slots=sum(worker.slots for worker in workers),
            busy=sum(worker.busy for worker in workers),
            quiet=sum(worker.state in ("quiet", "draining") for worker in workers),
        )
        return totals, Counter(worker.state for worker in workers)
