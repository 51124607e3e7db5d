"""The store as tests use it: every verb on one object, jobs as structs; on real servers and on fakeredis."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from broker.core.settings import BrokerSettings
from broker.core.timestamps import rfc3339
from broker.models.jobs import Job, NewJob
from broker.models.reports import Finish
from broker.models.workers import Receipt
from broker.resp import keys
from broker.resp.multiplexer import Multiplexer
from broker.resp.topology import Server, Topology
from broker.store.format.job_json import EncodedDelivery, EncodedJobs, struct_of
from broker.store.job_store import JobStore


class OneByOne:
    """Replaces the multiplexer where a test has a client of redis-py only: commands in order, replies as futures.

    The broker runs requests inline, and inline code may await futures only; so a client whose calls need a task is
    driven by a task of its own here.
    """

    def __init__(self, redis: Redis, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._redis = redis
        self._calls: deque[tuple[asyncio.Future, tuple]] = deque()
        self._working: asyncio.Task | None = None

    def call(self, *words):
        reply = asyncio.get_running_loop().create_future()
        self._calls.append((reply, words))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return reply

    async def close(self) -> None:
        """Nothing is open here."""

    def families(self, _: str) -> list:
        return []

    async def _work(self) -> None:
        while self._calls:
            reply, words = self._calls.popleft()
            try:
                result = await self._redis.execute_command(*words)
            except Exception as fault:  # noqa: BLE001 - raised where the reply is awaited
                if not reply.done():
                    reply.set_exception(fault)
            else:
                if not reply.done():
                    reply.set_result(result)


def topology_on(redis: Redis, partitions: Sequence[str], wire: object = None, timeout_s: float = 5) -> Topology:
    """One server that holds these partitions. Without a wire its commands go through the client."""
    return Topology([Server(redis, wire or OneByOne(redis, timeout_s), "")], partitions)


class Enqueued(msgspec.Struct, frozen=True):
    """The jobs of an enqueue."""

    jobs: list[Job]
    is_replayed: bool


class Store(JobStore):
    """A `JobStore` whose verbs are its own methods and answer with structs. `is_plain`: for fakeredis."""

    def __init__(
        self, redis: Redis, settings: BrokerSettings, wire: Multiplexer | None = None, *, is_plain: bool = False
    ) -> None:
        names = [keys.partition(settings.key_prefix, number) for number in range(settings.partitions or 1)]
        super().__init__(topology_on(redis, names, wire, settings.store_timeout_s), settings, is_plain=is_plain)
        self.redis = redis
        self.start, self.settle, self.give_back = (
            self.dispatcher.start,
            self.dispatcher.settle,
            self.dispatcher.give_back,
        )
        self.touch, self.finish, self.release = self.completer.touch, self.completer.finish, self.completer.release
        jobs, maintenance = self.jobs, self.maintenance
        self.show, self.cancel, self.retry, self.remove, self.list = (
            jobs.show, jobs.cancel, jobs.retry, jobs.remove, jobs.list
        )  # fmt: skip
        self.promote = jobs.promote
        self.log, self.has_log, self.follow = jobs.log, jobs.has_log, jobs.follow
        self.configure = self.groups.configure
        self.reap, self.check, self.check_leftovers = maintenance.reap, maintenance.check, maintenance.check_leftovers
        self.discarded, self.forget = maintenance.discarded, maintenance.forget

    @property
    def now(self) -> str:
        """The time that scripts are given, ms; '' for the store's own clock."""
        return self.clock.now

    @now.setter
    def now(self, now: str) -> None:
        self.clock.now = now

    async def enqueue(self, group: str, jobs: Sequence[NewJob], key: str = "") -> Enqueued:
        return _decoded(await self.enqueuer.enqueue(group, jobs, key))

    async def enqueue_durably(self, group: str, jobs: Sequence[NewJob], key: str = "") -> EncodedJobs:
        return await self.enqueuer.enqueue_durably(group, jobs, key)

    async def next(self, n, groups=(), lease_s=None, images=(), *, waits=False) -> list[Job]:
        return [struct_of(one.encoded) for one in await self.dispatcher.next(n, groups, lease_s, images, waits=waits)]

    async def succeed(
        self, group: str, job_id: str, lease: str = "", completed_at: int | None = None, receipt: Receipt | None = None
    ) -> Job:
        return struct_of(
            await self.completer.succeed(_report("succeeded", group, job_id, lease, completed_at, receipt))
        )

    async def fail(
        self,
        group: str,
        job_id: str,
        lease: str = "",
        reason: str = "",
        error: str = "",
        completed_at: int | None = None,
        receipt: Receipt | None = None,
        **retries: Any,
    ) -> Job:
        report = _report("failed", group, job_id, lease, completed_at, receipt)
        given = msgspec.structs.replace(report, reason=reason or None, error=error or None, **retries)
        return struct_of(await self.completer.fail(given))

    async def release_all(self, jobs: Sequence[EncodedDelivery | Job]) -> None:
        await self.dispatcher._undelivered.release_all(jobs)


def _report(status, group, job_id, lease, completed_at, receipt) -> Finish:
    at = None if completed_at is None else rfc3339(completed_at)
    return Finish(group_name=group, id=job_id, status=status, lease=lease, completed_at=at, receipt=receipt)


def _decoded(enqueued: EncodedJobs) -> Enqueued:
    return Enqueued([struct_of(encoded) for encoded in enqueued.jobs], enqueued.is_replayed)
