"""Carries out one bulk: looks for jobs page by page, does its action to them, and notes how far it is.

A retry for which the group has no room pauses the bulk: it is tried again until there is room.

A page is noted before its jobs are acted on. So when the broker dies another one knows which jobs it may have done: a
job of this page that is retried or deleted already counts as done. The scripts refuse to do a thing twice.
"""

import asyncio
import logging
import time
from collections import Counter
from functools import partial
from typing import Literal, TypeGuard, get_args

from broker.core.errors import LeaseLost, LimitReached, NotFound, StoreFull, StoreUnavailable, TitanError, WrongState
from broker.core.events import event
from broker.core.states import Status
from broker.models.bulk import DEFAULTS, TAKES, Action, NewBulk
from broker.reaper.bulk_pace import BulkPace
from broker.store.bulk_look import look
from broker.store.format.bulk_record import KeptBulk, shown_bulk
from broker.store.format.script_args import change_words
from broker.store.job_store import JobStore
from broker.store.staging import LARGE_BYTES

NOTE_S, GUARD_S = 1.0, 8.0
"""How often progress is noted, and after how long without a note nothing is done until there is one, s."""
SAY_S = 30.0
"""How often the log says how far a bulk is, s."""
AWAY_S = 1.0
PAUSE_S = 1.0
"""How often a bulk looks whether the group has room again, s."""
_NO_ROOM_EVER = " have 0 bytes,"
"""In the refusal of a job that is larger than all unfinished jobs of a group may be."""
TOO_MANY, ASKED = "too_many", "asked"
Came = Literal["done", "skipped", "refused"]
CAME: tuple[Came, ...] = get_args(Came)
"""What became of a job of a bulk."""
Act = tuple[Action, Came]

_log = logging.getLogger("broker.bulk")


class BulkWork:
    """One bulk at its owner. `kept` is its last note. It counts in `acts` what it does to jobs."""

    def __init__(self, store: JobStore, owner: str, kept: KeptBulk, acts: Counter[Act]) -> None:
        self.kept = kept
        self.progress = kept.progress
        self._store = store
        self._owner = owner
        self._acts = acts
        self._bulk = shown_bulk(kept)
        self._statuses = statuses_of(self._bulk)
        self._repeated = set(self.progress.slice)
        self._of_group = self._asked = store.partition_of(self._bulk.group)
        self._noted_at = self._said_at = time.monotonic()
        self._pace = BulkPace(self._bulk.rate, partial(store.bulks.cpu_s, self._bulk.group))
        self._changes = change_words(self._bulk.set, kept.spec.image) if self._bulk.set else ()
        self._most = max(1, LARGE_BYTES // (1 + sum(map(len, self._changes))))

    async def run(self) -> None:
        """Work until the bulk has ended. Raises LeaseLost or NotFound when it is no longer ours.

        An error that waiting does not change ends it as failed.
        """
        ended = ""
        while not ended:
            try:
                ended = await self._step()
            except (StoreUnavailable, StoreFull) as fault:
                await self._wait(fault)
            except (LeaseLost, NotFound):
                raise
            except TitanError as fault:  # it would be the same the next time: the store is damaged
                _log.error("bulk %s fails: %s", self.kept.id, fault.message)
                ended = await self._end("failed", fault.message)

    async def _step(self) -> str:
        """Look for a page, or act on a chunk of one; how the bulk ended, or ''."""
        progress = self.progress
        if self.kept.state == "stopping":
            return await self._end("stopped", ASKED)
        if progress.slice:
            await self._act()
        elif progress.is_last:
            return await self._end("stopped" if progress.is_too_many else "done", TOO_MANY * progress.is_too_many)
        else:
            await self._look()
        return ""

    async def _look(self) -> None:
        bulk, progress = self._bulk, self.progress
        found = await look(self._store.jobs, self._store.looks, bulk, self._statuses, progress.cursor)
        self._pace.looked(found.store_s)
        ids, progress.cursor, progress.is_last = found.ids, found.cursor, not found.cursor
        progress.looked += found.looked
        for word, number in found.skipped.items():
            progress.skipped[word] = progress.skipped.get(word, 0) + number
        if bulk.limit is not None and progress.matched + len(ids) >= bulk.limit:
            ids, progress.is_last = ids[: bulk.limit - progress.matched], True
        progress.slice = [] if bulk.dry_run else ids
        if bulk.at_most is not None and not bulk.dry_run and progress.matched + len(ids) > bulk.at_most:
            progress.is_last = progress.is_too_many = True
            progress.slice = ids[: max(0, bulk.at_most - progress.matched)]
        progress.matched += len(ids)
        self._repeated.clear()
        await self._note()
        await self._rest()

    async def _act(self) -> None:
        bulk, progress = self._bulk, self.progress
        if time.monotonic() - self._noted_at > GUARD_S:
            await self._note()
        chunk = progress.slice[: 1 if progress.paused_because else min(self._pace.chunk, self._most)]
        self._pace.begin()
        try:
            acted = await self._store.bulks.act(bulk.action, bulk.group, chunk, self.kept.spec.by, self._changes)
        except TitanError:
            self._repeated.update(chunk)  # some of them may be done
            raise
        self._pace.acted(len(chunk), acted.store_s)
        outcomes = dict(zip(chunk, acted.outcomes, strict=True))
        full = {job_id: outcome.message for job_id, outcome in outcomes.items() if _must_wait(outcome)}
        for job_id, outcome in outcomes.items():
            if job_id not in full:
                self._count(job_id, outcome)
        progress.slice[: len(chunk)] = list(full)
        progress.why, progress.paused_because = "", next(iter(full.values()), "")
        if full:
            await self._note()
            await asyncio.sleep(PAUSE_S)
        await self._rest()

    def _count(self, job_id: str, outcome: TitanError | None) -> None:
        progress, action, is_repeated = self.progress, self._bulk.action, job_id in self._repeated
        is_done = outcome is None
        word = ""
        if isinstance(outcome, NotFound):
            word, is_done = "gone", is_repeated and action == "delete"
        elif isinstance(outcome, WrongState):
            word = "already_retried" if "retried already" in outcome.message else "wrong_state"
            is_done = is_repeated and (word == "already_retried" or action == "promote")
        if is_done:
            progress.done += 1
            self._acts[action, "done"] += 1
        elif word:
            progress.skipped[word] = progress.skipped.get(word, 0) + 1
            self._acts[action, "skipped"] += 1
        elif outcome is not None:
            progress.refused[outcome.code] = progress.refused.get(outcome.code, 0) + 1
            self._acts[action, "refused"] += 1

    async def _wait(self, fault: TitanError) -> None:
        """Say why it waits, as far as the store can be reached, and wait for a moment."""
        topology = self._store.topology
        server = topology.name_of(topology.of(self._asked))
        if not self.progress.why:
            _log.warning("bulk %s waits: %s: %s", self.kept.id, server, fault.message)
        self.progress.why, self.progress.paused_because = f"{server}: {fault.message}", ""
        try:
            await self._note()
        except (StoreUnavailable, StoreFull):
            _log.debug("it cannot be noted that bulk %s waits", self.kept.id)
        await asyncio.sleep(AWAY_S)

    async def _end(self, state: str, why: str) -> str:
        self.progress.why, self.progress.paused_because = why, ""
        self.progress.slice = []
        self.kept = await self._store.bulks.note(self.kept.id, self._owner, self.progress, state)
        return state

    async def _note(self) -> None:
        self._asked = self._store.partitions[0]
        self.kept = await self._store.bulks.note(self.kept.id, self._owner, self.progress)
        now = self._noted_at = time.monotonic()
        self._asked = self._of_group
        if now - self._said_at >= SAY_S:
            self._said_at = now
            done, of = self.progress.done, self.progress.matched
            keys = event("bulk.progress", group=self._bulk.group, bulk=self.kept.id, done=done, matched=of)
            _log.info("bulk %s has done %d of the %d that matched so far", self.kept.id, done, of, extra=keys)

    async def _rest(self) -> None:
        """Rest as the pace says; keep the lease meanwhile, and end early when asked to stop."""
        await self._pace.adjust(self.kept.n_running)
        while self.kept.state != "stopping":
            now = time.monotonic()
            if now - self._noted_at > NOTE_S:
                await self._note()
            if self._pace.until <= now:
                return
            await asyncio.sleep(min(self._pace.until - now, NOTE_S))


def statuses_of(bulk: NewBulk) -> tuple[Status, ...]:
    """The statuses of a bulk, in the order in which jobs pass through them: a job that moves on is met again.

    Jobs that it names may be in any status that the action takes.
    """
    action = bulk.action
    wanted = bulk.status or (DEFAULTS if bulk.ids is None else TAKES)[action]
    return tuple(status for status in TAKES[action] if status in wanted)


def _must_wait(outcome: TitanError | None) -> TypeGuard[LimitReached]:
    """Whether a job has to wait until its group has room. One that is larger than the group may be never gets in."""
    return isinstance(outcome, LimitReached) and _NO_ROOM_EVER not in outcome.message
