"""`next`: what is asked in one turn of the loop leaves as one script for each kind of wish, and in lots.

A script hands out so many jobs, and bytes, and no more, so that the store serves others between two of them.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

from broker.core.errors import TitanError
from broker.core.ids import lease_token
from broker.resp.partitions import ROUND_S, Partitions
from broker.store.batcher import MOST_JOBS, Ticks
from broker.store.format.job_json import Handed, handed_out

ANSWER_BYTES = 8 * 1024 * 1024
"""An answer that has so many bytes of jobs takes no further lot."""
LOT_BYTES = 1024 * 1024
"""The same of one run of next.lua, which counts what the store has of a job: less than the answer."""
_MOST_WISHES = 1000


class Wish(NamedTuple):
    """What calls that share a run have in common. lease_s: the length of the leases; `waits`: whether clients wait."""

    partition: str
    groups: tuple[str, ...]
    lease_s: int | None
    waits: bool


class Taking:
    """Hands out jobs. `now` answers '' for the store's clock; in tests a time in ms.

    `give_back` is told of jobs whose caller was gone when they came. `broker`: the name by which the store tells us of
    jobs to come. `grace_ms`: how much longer than a job's timeout a short lease may last. `is_stepwise`: the store
    answers with futures only.
    """

    def __init__(
        self,
        partitions: Partitions,
        now: Callable[[], str],
        give_back: Callable[[Sequence[Handed]], None],
        broker: str,
        grace_ms: int,
        *,
        is_stepwise: bool,
    ) -> None:
        self._partitions = partitions
        self._now = now
        self._give_back = give_back
        self._broker = broker
        self._grace_ms = grace_ms
        self._is_stepwise = is_stepwise
        self._turn = 0
        self._wishes: dict[Wish, Ticks[int, list[Handed]]] = {}

    async def next(self, n: int, groups: tuple[str, ...], lease_s: int | None, *, waits: bool) -> list[Handed]:
        """The first jobs, n at most; partitions are asked in turn. A fault after some jobs ends the round.

        `waits`: when there are none, the store is to tell us of jobs to come.
        """
        names = self._partitions.names
        if len(names) == 1 and n <= MOST_JOBS:
            return await self._ticks(Wish(names[0], groups, lease_s, waits)).call(n, n)
        turn, self._turn = self._turn, (self._turn + 1) % len(names)
        end = time.monotonic() + ROUND_S
        jobs: list[Handed] = []
        try:
            for name, here in self._partitions.round(turn, groups):
                await self._fill(jobs, n, Wish(name, here, lease_s, waits), end)
                if len(jobs) == n:
                    break
        except TitanError:
            if not jobs:
                raise
        except BaseException:  # the caller is gone
            self._give_back(jobs)
            raise
        return jobs

    @property
    def under_way(self) -> set[asyncio.Future[None]]:
        """The calls that the store has not answered yet."""
        return {call for ticks in self._wishes.values() for call in ticks.under_way}

    async def _fill(self, jobs: list[Handed], n: int, wish: Wish, end: float) -> None:
        """Add jobs of one partition, in lots, until there are n, its ready ones are gone, or they have many bytes.

        Or until `end`, by the monotonic clock in s.
        """
        size_bytes = _bytes_of(jobs)
        while (asked := min(n - len(jobs), MOST_JOBS)) and size_bytes < ANSWER_BYTES:
            lot = await self._ticks(wish).call(asked, asked)
            jobs += lot
            size_bytes += _bytes_of(lot)
            if len(lot) < asked or time.monotonic() > end:
                break

    def _ticks(self, wish: Wish) -> Ticks[int, list[Handed]]:
        ticks = self._wishes.get(wish)
        if ticks is None:
            if len(self._wishes) >= _MOST_WISHES:
                self._wishes = {wish: ticks for wish, ticks in self._wishes.items() if ticks.is_busy}
            send = partial(self._send, wish)
            ticks = self._wishes[wish] = Ticks(send, self._give_back, is_stepwise=self._is_stepwise)
        return ticks

    async def _send(self, wish: Wish, parts: Sequence[int]) -> list[list[Handed]]:
        n = sum(parts)
        lot = await self._run(wish, n)
        if len(lot) < n and not _is_last(lot, n):
            return await self._shared(wish, parts, lot)
        jobs = iter(lot)
        return [list(islice(jobs, part)) for part in parts]

    async def _shared(self, wish: Wish, parts: Sequence[int], lot: list[Handed]) -> list[list[Handed]]:
        """Jobs so large that one run does not bring them all: each part has its own, up to what an answer may have."""
        rest, is_last = deque(lot), False
        shares: list[list[Handed]] = []
        for part in parts:
            share: list[Handed] = []
            size_bytes = 0
            while len(share) < part and (rest or (not is_last and size_bytes < ANSWER_BYTES)):
                if not rest:
                    asked = part - len(share)
                    try:
                        rest.extend(await self._run(wish, asked))
                        is_last = _is_last(rest, asked)
                    except TitanError:  # what was handed out is delivered
                        is_last = True
                if rest:
                    share.append(rest.popleft())
                    size_bytes += len(share[-1].encoded)
            shares.append(share)
        return shares

    async def _run(self, wish: Wish, n: int) -> list[Handed]:
        lease, length = lease_token(), "" if wish.lease_s is None else wish.lease_s
        broker = self._broker if wish.waits else ""
        words = (self._now(), n, lease, length, self._grace_ms, broker, *wish.groups)
        reply = await self._partitions.run("next", wish.partition, *words)
        return handed_out(reply, lease, wish.lease_s, self._grace_ms)


def _bytes_of(jobs: Sequence[Handed]) -> int:
    return sum([len(job.encoded) for job in jobs])


def _is_last(lot: Sequence[Handed], n: int) -> bool:
    """Whether no jobs are left behind a run that was asked for n: there were fewer, and not since they are large."""
    return len(lot) < n and _bytes_of(lot) < LOT_BYTES
