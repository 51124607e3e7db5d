"""Bulks: what is kept of them in the first partition, and the verbs that they do to many jobs at once."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from broker.core.errors import NotFound, TitanError
from broker.core.ids import Ids
from broker.models.bulk import KEPT_S, MOST_RUNNING, Action
from broker.resp.partitions import Partitions
from broker.resp.resp_connection import Word
from broker.store.clock import Clock
from broker.store.format.bulk_record import (
    LEVEL,
    BulkProgress,
    BulkSpec,
    KeptBulk,
    encode,
    kept_bulk,
    level_of,
    plain_of,
    spec_text,
)
from broker.store.format.replies import field_of
from broker.store.group_limits import GroupLimits
from broker.store.maintenance import UNSETTLED
from broker.store.pagination import cursor_of, position
from broker.store.settlement import SETTLED, count_settled
from broker.store.tally import Tally

LEASE_MS = 10_000
"""How long a broker owns a bulk without a note, ms."""
_NO_BULK = "There is no such bulk, or it was more than 7 days ago."
_VERBS: dict[str, str] = {"delete": "remove"}


class Begun(NamedTuple):
    """A bulk that was begun. `is_replayed`: by an earlier call with the same Idempotency-Key."""

    bulk: KeptBulk
    is_replayed: bool


class Acted(NamedTuple):
    """What an action did: for each job None or the refusal; and how long the store worked on it, s."""

    outcomes: list[TitanError | None]
    store_s: float


class Bulks:
    """Begins, notes, continues, stops and lists bulks. Any method may raise StoreUnavailable or StoreFull."""

    def __init__(
        self, partitions: Partitions, clock: Clock, ids: Ids, tally: Tally, limits: GroupLimits, key_ttl_s: int
    ) -> None:
        self._partitions = partitions
        self._partition = partitions.names[0]
        self._clock = clock
        self._ids = ids
        self._tally = tally
        self._limits = limits
        self._key_ttl_s = key_ttl_s

    async def begin(self, spec: BulkSpec, owner: str, key: str = "") -> Begun:
        """Begin a bulk that `owner` carries out. Raises LimitReached, IdempotencyMismatch."""
        [bulk_id] = self._ids.take(1)
        digest = hashlib.sha256(encode(plain_of(spec.given))).hexdigest()
        named = f"*bulk:{spec.group}:{key}" if key else ""
        lasting = (MOST_RUNNING, KEPT_S * 1000, named, digest, self._key_ttl_s * 1000, level_of(spec.given))
        arguments = (self._clock.now, bulk_id, spec_text(spec), owner, LEASE_MS, *lasting)
        is_replayed, row = await self._partitions.run("bulk", self._partition, *arguments)
        if not is_replayed:
            self._tally.noted("bulk", spec.group, (bulk_id,), spec.by)
        return Begun(kept_bulk(row), bool(is_replayed))

    async def note(self, bulk_id: str, owner: str, progress: BulkProgress, ended: str = "") -> KeptBulk:
        """Keep how far the bulk is, and own it for LEASE_MS more, or end it. Raises LeaseLost, NotFound."""
        return await self._note(bulk_id, owner, LEASE_MS, progress, ended)

    async def release(self, bulk_id: str, owner: str, progress: BulkProgress) -> None:
        """Keep how far the bulk is, and let another broker continue it at once. Raises LeaseLost, NotFound."""
        await self._note(bulk_id, owner, 0, progress, "")

    async def _note(self, bulk_id: str, owner: str, lease_ms: int, progress: BulkProgress, ended: str) -> KeptBulk:
        arguments = (self._clock.now, bulk_id, owner, lease_ms, encode(progress), ended, KEPT_S * 1000)
        return kept_bulk(await self._partitions.run("bulk_note", self._partition, *arguments))

    async def take(self, owner: str) -> KeptBulk | None:
        """Own a bulk whose broker is silent, and that this version can carry out; None if there is none."""
        row = await self._partitions.run("bulk_take", self._partition, self._clock.now, owner, LEASE_MS, LEVEL)
        return kept_bulk(row) if row else None

    async def stop(self, bulk_id: str, by: str = "") -> KeptBulk:
        """Ask the owner to stop. Raises NotFound."""
        return kept_bulk(await self._partitions.run("bulk_stop", self._partition, bulk_id, by))

    async def show(self, bulk_id: str) -> KeptBulk:
        """One bulk. Raises NotFound."""
        rows = await self._partitions.run("bulks", self._partition, 1, "", "", bulk_id)
        if not rows:
            raise NotFound(_NO_BULK)
        return kept_bulk(rows[0])

    async def act(
        self, action: Action, group: str, job_ids: Sequence[str], actor: str, changes: Sequence[Word] = ()
    ) -> Acted:
        """Do the action to jobs of a group, in one pipeline. A refusal is the outcome of its job.

        `actor` is named in the history of each job. `changes`: what a retry changes, from `change_words`.
        """
        partition = self._partitions.of(group)
        new_ids = self._ids.take(len(job_ids)) if action == "retry" else []
        words: list[tuple[str, Sequence[Word]]] = [
            (
                _VERBS.get(action, action),
                (self._clock.now, group, job_id, *self._more(new_ids[i : i + 1]), actor, *changes),
            )
            for i, job_id in enumerate(job_ids)
        ]
        began, *replies, ended = await self._partitions.run_in(partition, [("clock", ()), *words, ("clock", ())])
        while left := [i for i, reply in enumerate(replies) if action == "delete" and reply == UNSETTLED]:
            again = [("settle", (self._clock.now, SETTLED)), *(words[i] for i in left)]
            settled, *repeats = await self._partitions.run_in(partition, again)
            if not isinstance(settled, TitanError):
                count_settled(self._tally, settled)
            for i, reply in zip(left, repeats, strict=True):
                replies[i] = reply
        outcomes = [reply if isinstance(reply, TitanError) else None for reply in replies]
        done = [(job_id, row) for job_id, row in zip(job_ids, replies, strict=True) if not isinstance(row, TitanError)]
        self._count(action, group, done, actor)
        return Acted(outcomes, max(0, int(ended) - int(began)) / 1e6)

    async def cpu_s(self, group: str) -> float | None:
        """CPU that the server of the group has used since it began, s: of its main thread where it reports it.

        None if it reports neither, or if its user must not ask.
        """
        try:
            [info] = await self._partitions.read(self._partitions.of(group), [("INFO", "cpu")])
        except TitanError:
            return None
        found = {name.decode(): value for name, _, value in (line.partition(b":") for line in info.split())}
        for end in ("_main_thread", ""):
            try:
                return float(found[f"used_cpu_user{end}"]) + float(found[f"used_cpu_sys{end}"])
            except (KeyError, ValueError):
                continue
        return None

    def _count(self, action: Action, group: str, done: Sequence[tuple[str, Any]], by: str) -> None:
        """Count what was done, as `Jobs` does; a job that was cancelled before is not counted again."""
        if action == "retry":
            self._tally.repeated(group, "bulk", old=[job_id for job_id, _ in done], by=by, n=len(done))
        elif action == "promote":
            self._tally.promoted(group, [job_id for job_id, _ in done], by, len(done))
        elif action == "cancel":
            for job_id, row in done:
                if field_of(row, "repeated") is None:
                    self._tally.cancelled(group, 1, (job_id,), by)

    def _more(self, new_id: Sequence[str]) -> tuple[Word, ...]:
        """The words of retry.lua before the actor."""
        return (*new_id, *self._limits) if new_id else ()

    async def list(  # the last method: after it `list` would no longer be the type
        self, n: int, cursor: str = ""
    ) -> tuple[list[KeptBulk], str]:
        """A page of bulks, the newest first, and the cursor, '' at the end."""
        rows: list[Any] = await self._partitions.run("bulks", self._partition, n + 1, *position(cursor), "")
        found = [kept_bulk(row) for row in rows[:n]]
        end = cursor_of(str(found[-1].created_at).encode(), found[-1].id.encode()) if len(rows) > n else ""
        return found, end
