"""The store: a method for each verb, each one script. Times are ms since 1970, by the store's clock.

Calls of enqueue, next, touch, succeed, fail and finish that are made in one turn of the loop share a script's run.

Any method may raise StoreUnavailable or StoreFull. A one-job verb raises its refusal; a many-job verb returns it in the
place of the job's result.
"""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from typing import NamedTuple, cast

import msgspec
from redis.asyncio import Redis

from broker import keys
from broker.config import BrokerSettings
from broker.cursors import cursor, place
from broker.encoded import EncodedJobs, Handed, new_jobs
from broker.errors import NotFound, TitanError
from broker.fences import Fences
from broker.hot import Hot
from broker.ids import Ids, lease_token
from broker.models.groups import Group, GroupSettings
from broker.models.jobs import Job, NewJob
from broker.models.reports import Finish, Held
from broker.partitions import Partitions
from broker.picking import Picking
from broker.presence import Receipt
from broker.registry import Registry
from broker.rows import Finding, Followed, Reaped, field_of, fields_of, followed_of, group_of, job_of, reaped_of
from broker.runs import Ended, ended, enqueue_words, new_runs, receipt_text
from broker.scripts import spoken
from broker.servers import Server, Servers
from broker.setting_up import set_up
from broker.states import Status
from broker.times import milliseconds
from broker.wire import Wire

_LOG = logging.getLogger(__name__)


class Enqueued(NamedTuple):
    """New jobs; or, `is_replayed`, those of an earlier call with the same Idempotency-Key."""

    jobs: list[Job]
    is_replayed: bool


class Store:
    """All that Titan keeps, but for logs. `now` is '' for the store's clock; a test may set a time in ms.

    Scripts go through the wire where there is one, all else through redis-py.
    """

    def __init__(
        self,
        redis: Redis,
        settings: BrokerSettings,
        wire: Wire | None = None,
        *,
        is_plain: bool = False,
        servers: Servers | None = None,
    ) -> None:
        names = [keys.partition(settings.key_prefix, n) for n in range(settings.partitions)]
        self.redis = redis
        self.servers = servers or Servers([Server(redis, wire, "")], names)
        self.settings = settings
        self.now = ""
        wires = self.servers.wire
        self._partitions = Partitions(redis, wires, settings.key_prefix, settings.partitions, is_plain=is_plain)
        self.partitions = self._partitions.names
        self.registry = Registry(self._partitions)
        self.hot = Hot(self._partitions, lambda: self.now, self.give_back, is_stepwise=wires is not None)
        self._picking = Picking(self._partitions, lambda: self.now, self.give_back)
        self._ids = Ids()
        self._giving_back: set[asyncio.Task[None]] = set()
        limit_s, replicas = settings.durable_limit_s, settings.durable_replicas
        self._fences = {server: Fences(server.redis, limit_s, replicas) for server in self.servers.all}

    async def open(self) -> None:
        """Check that each server has its part of this number of partitions, or set it up. Raises PartitionsDiffer."""
        await set_up(self.servers, self.partitions, self.settings.key_prefix)

    async def close(self) -> None:
        """Close the connections that the store opened itself."""
        for fences in self._fences.values():
            await fences.close()

    async def ready(self) -> None:
        """Run a script that may write. Raises StoreUnavailable."""
        await self.reap(0)

    async def enqueue(self, group: str, jobs: Sequence[NewJob], key: str = "") -> Enqueued:
        """Put new jobs into a group, all or none. Raises Invalid (no image), IdempotencyMismatch."""
        made = await self.enqueue_encoded(group, jobs, key)
        return Enqueued([_job(encoded) for encoded in made.jobs], made.is_replayed)

    async def enqueue_encoded(self, group: str, jobs: Sequence[NewJob], key: str = "") -> EncodedJobs:
        """Do the same; the jobs as the JSON of the answer."""
        missing = next((i for i, job in enumerate(jobs) if not job.image), None)
        ids = self._ids.take(len(jobs))
        if missing is None and not key:
            runs = new_runs(group, jobs, ids, "")
            return EncodedJobs(new_jobs(runs, await self.hot.enqueue(group, runs)), is_replayed=False)
        image = "" if missing is None else await self._image(group)
        runs = new_runs(group, jobs, ids, image)
        arguments: list[str | int | bytes] = [self.now, "", "", "", "", "", len(jobs) - sum(1 for j in jobs if j.delay)]
        if key:
            digest = hashlib.sha256(msgspec.json.encode(jobs)).hexdigest()
            note = f"{','.join(ids)} {image}"
            arguments[1:5] = [f"{group}:{key}", digest, self.settings.idempotency_ttl_s * 1000, note]
        if missing is not None and not image:
            arguments[5] = f"jobs[{missing}].image"
        created_at, *noted = await self._partitions.run(
            "enqueue", self._partitions.of(group), *arguments, *enqueue_words(runs)
        )
        if noted:
            first_ids, _, image = noted[0].decode().partition(" ")
            runs = new_runs(group, jobs, first_ids.split(","), image)
        return EncodedJobs(new_jobs(runs, int(created_at)), is_replayed=bool(noted))

    async def enqueue_durably(self, group: str, jobs: Sequence[NewJob], key: str = "") -> EncodedJobs:
        """Enqueue, and return once the jobs are on the store's disk. Raises NotDurable as well.

        When the disk was too slow the jobs are enqueued all the same; when the store cannot tell, nothing is.
        """
        return await asyncio.get_running_loop().create_task(self._enqueue_durably(group, jobs, key))

    async def show(self, group: str, job_id: str) -> Job:
        """The job. Raises NotFound."""
        return job_of(await self._partitions.run("show", self._partitions.of(group), group, job_id), is_shown=True)

    async def has_log(self, group: str, job_id: str) -> bool:
        """Whether a log is stored for the job. Raises NotFound."""
        return (
            field_of(await self._partitions.run("show", self._partitions.of(group), group, job_id), "log_bytes")
            is not None
        )

    async def next(
        self, n: int, groups: Sequence[str] = (), lease_s: int | None = None, images: Sequence[str] = ()
    ) -> list[Job]:
        """Hand out the first jobs, n at most. Partitions are asked in turn; a fault after some jobs ends the round.

        With `images` only jobs of these; a job that stands behind 200 of other images in its group is not found.

        When the caller is cancelled, what it would have got is given back.
        """
        return [_job(handed.encoded) for handed in await self.next_encoded(n, groups, lease_s, images)]

    async def next_encoded(
        self, n: int, groups: Sequence[str] = (), lease_s: int | None = None, images: Sequence[str] = ()
    ) -> list[Handed]:
        """Do the same; the jobs as the JSON of the answer."""
        if images:
            return await self._picking.next(n, list(dict.fromkeys(groups)), lease_s, images)
        return await self.hot.next(n, tuple(dict.fromkeys(groups)), lease_s)

    async def start(self, group: str, job_id: str, lease: str = "", started_at: int | None = None) -> Job:
        """Say that a job runs; take it when it is queued. Raises NotFound, WrongState, LeaseLost, LimitReached."""
        at: str | int = "" if started_at is None else started_at
        new_lease = lease_token()
        row = await self._partitions.run(
            "start", self._partitions.of(group), self.now, group, job_id, lease, new_lease, at
        )
        return job_of(row, is_handed_out=(field_of(row, "lease") or "").startswith(new_lease))

    async def touch(self, items: Sequence[Held]) -> list[int | TitanError]:
        """Renew leases: for each item the end of its lease, or NotFound, WrongState, LeaseLost."""
        return await self.hot.touch([(item.group_name, item.id, item.lease or "") for item in items])

    async def succeed(
        self, group: str, job_id: str, lease: str = "", completed_at: int | None = None, receipt: Receipt | None = None
    ) -> Job:
        """Mark a running job as succeeded. Raises NotFound, WrongState, LeaseLost."""
        return await self._finish_one(group, job_id, lease, "succeeded", "", "", completed_at, receipt)

    async def fail(
        self,
        group: str,
        job_id: str,
        lease: str = "",
        reason: str = "",
        error: str = "",
        completed_at: int | None = None,
        receipt: Receipt | None = None,
    ) -> Job:
        """Mark a running job as failed, with its automatic retry. Raises NotFound, WrongState, LeaseLost."""
        return await self._finish_one(group, job_id, lease, "failed", reason, error, completed_at, receipt)

    async def finish(self, items: Sequence[Finish]) -> list[TitanError | None]:
        """Succeed and fail many jobs: for each item None, or NotFound, WrongState, LeaseLost."""
        reports = [
            ended(
                item,
                milliseconds(item.completed_at) if item.completed_at else "",
                self._ids.take(1)[0] if item.status == "failed" else "",
            )
            for item in items
        ]
        rows = await self.hot.finish(reports)
        return [row if isinstance(row, TitanError) else None for row in rows]

    async def release(
        self, group: str, job_id: str, lease: str = "", delay: int = 0, receipt: Receipt | None = None
    ) -> Job:
        """Give a running job back; the delivery is not counted. Raises NotFound, WrongState, LeaseLost."""
        arguments = (group, job_id, lease, delay, receipt_text(receipt, "released"))
        [row] = await self._partitions.run("release", self._partitions.of(group), self.now, *arguments)
        return job_of(row)

    async def release_all(self, jobs: Sequence[Handed | Job]) -> None:
        """Give back what `next` handed out to a client that is gone; what is no longer running is passed over."""
        held = [(job.group_name, job.id, job.lease or "", 0, "") for job in jobs]
        await self._partitions.run_items("release", (self.now,), held)

    async def settle(self) -> None:
        """Wait until everything that goes back to the queue without being asked for has gone back."""
        while waited := {*self.hot.next_calls, *self._giving_back}:
            await asyncio.wait(waited)

    async def cancel(self, group: str, job_id: str) -> Job:
        """End a job that is not finished. Raises NotFound, WrongState."""
        return job_of(await self._partitions.run("cancel", self._partitions.of(group), self.now, group, job_id))

    async def retry(self, group: str, job_id: str) -> Job:
        """Do a finished job again: the new job. Raises NotFound, WrongState."""
        [new_id] = self._ids.take(1)
        return job_of(await self._partitions.run("retry", self._partitions.of(group), self.now, group, job_id, new_id))

    async def remove(self, group: str, job_id: str) -> bool:
        """Forget a finished job; True when its log is left to delete. Raises NotFound, WrongState."""
        return bool(await self._partitions.run("remove", self._partitions.of(group), self.now, group, job_id))

    async def log(
        self, group: str, job_id: str, size_bytes: int | None = None, lease: str = "", *, is_more: bool = False
    ) -> Job:
        """Note that the job's log is stored, or with no size that it is about to be. Raises NotFound, WrongState.

        `is_more`: it is the beginning of the log of a running job. With a `lease` raises LeaseLost for another's job.
        """
        size = "" if size_bytes is None else size_bytes
        arguments = (group, job_id, size, lease, "more" if is_more else "")
        return job_of(await self._partitions.run("log", self._partitions.of(group), self.now, *arguments))

    async def follow(self, group: str, job_id: str) -> Followed:
        """What a follower of the job's log must know. Raises NotFound."""
        return followed_of(await self._partitions.run("follow", self._partitions.of(group), self.now, group, job_id))

    async def configure(self, group: str, settings: GroupSettings) -> Group:
        """Give a group all its settings anew; the group is made when there is none."""
        await self._partitions.run("configure", self._partitions.of(group), self.now, group, *fields_of(settings))
        return await self.group(group)

    async def group(self, name: str) -> Group:
        """A group's settings and counts. Raises NotFound."""
        rows = await self._partitions.run("groups", self._partitions.of(name), name, 1, "", "")
        if not rows:
            raise NotFound("There is no such group.")
        return group_of(rows[0])

    async def groups(self, n: int, cursor: str = "") -> tuple[list[Group], str]:
        """A page of groups by creation over all partitions, and the cursor, '' at the end."""
        after = place(cursor)
        pages = await self._partitions.run_each("groups", [("", n + 1, *after)] * len(self.partitions))
        rows = sorted((row for page in pages for row in page), key=lambda row: (int(row[1]), row[0]))
        end = _cursor(rows[n - 1][1], rows[n - 1][0]) if len(rows) > n else ""
        return [group_of(row) for row in rows[:n]], end

    async def reap(self, limit: int) -> Reaped:
        """Do what is due, `limit` jobs a partition at most."""
        arguments: list[list[str | int]] = [[self.now, limit, *self._ids.take(limit)] for _ in self.partitions]
        return reaped_of(await self._partitions.run_each("reap", arguments))

    async def check(self, group: str, job_ids: Sequence[str], *, is_repair: bool) -> list[Finding]:
        """What does not agree about these jobs of a group, or with none given about the group: (group, id, what)."""
        mode = "repair" if is_repair else ""
        rows = await self._partitions.run("check", self._partitions.of(group), self.now, mode, group, *job_ids)
        return [Finding(group, job_id.decode(), what.decode()) for job_id, what in rows]

    async def discarded(self, n: int) -> list[str]:
        """Ids of gone jobs whose logs are left to delete, n a partition at most."""
        pages = [
            await spoken(asyncio.shield(self.servers.of(p).redis.zrange(keys.discarded(p), 0, n - 1)))
            for p in self.partitions
        ]
        return [cast("bytes", job_id).decode() for page in pages for job_id in page]

    async def forget(self, job_ids: Sequence[str]) -> None:
        """Say that the logs of these gone jobs are deleted."""
        if job_ids:
            for p in self.partitions:
                await spoken(asyncio.shield(self.servers.of(p).redis.zrem(keys.discarded(p), *job_ids)))

    async def _enqueue_durably(self, group: str, jobs: Sequence[NewJob], key: str) -> EncodedJobs:
        p = self._partitions.of(group)
        fences = self._fences[self.servers.of(p)]
        await fences.check()
        enqueued = await self.enqueue_encoded(group, jobs, key)
        await fences.wait(p)
        return enqueued

    async def _image(self, group: str) -> str:
        p = self._partitions.of(group)
        image = await self._partitions.field(p, keys.group(p, group), "image")
        return (image or b"").decode()

    async def _finish_one(
        self,
        group: str,
        job_id: str,
        lease: str,
        status: Status,
        reason: str,
        error: str,
        completed_at: int | None,
        receipt: Receipt | None,
    ) -> Job:
        at: str | int = "" if completed_at is None else completed_at
        report = Ended(
            group, job_id, lease, status, reason, error, at, self._ids.take(1)[0], receipt_text(receipt, status)
        )
        [row] = await self.hot.finish([report], want="job")
        if isinstance(row, TitanError):
            raise row
        return job_of(row)

    def give_back(self, jobs: Sequence[Handed]) -> None:
        """Give back what was handed out to nobody, beside all else; `settle` waits for it."""
        if jobs:
            task = asyncio.get_running_loop().create_task(self._give_back(jobs))
            self._giving_back.add(task)
            task.add_done_callback(self._giving_back.discard)

    async def _give_back(self, jobs: Sequence[Handed]) -> None:
        try:
            await self.release_all(jobs)
        except TitanError as error:
            _LOG.warning("%d jobs of a client that hung up come back when their lease ends: %s", len(jobs), error)

    async def list(  # the last method: below it the word would no longer mean the type
        self,
        group: str,
        n: int,
        *,
        created_after: int | None = None,
        cursor: str = "",
        status: Status | None = None,
        newest_first: bool = False,
    ) -> tuple[list[Job], str]:
        """A page of a group's jobs by creation, or of one status in its set's own order; and the cursor, '' at the end.

        Looks at n jobs at most, so a page that is narrowed by both status and created_after may be short of n.
        """
        score, last = place(cursor)
        after: str | int = "" if created_after is None else created_after
        order = "desc" if newest_first else "asc"
        arguments = (group, status or "jobs", n, after, order, score, last)
        next_score, next_id, *rows = await self._partitions.run("list", self._partitions.of(group), *arguments)
        return [job_of(row) for row in rows], _cursor(next_score, next_id)


_job = msgspec.json.Decoder(Job).decode


def _cursor(score: bytes, member: bytes) -> str:
    return cursor(score.decode(), member.decode()) if member else ""
