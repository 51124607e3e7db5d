"""Calls of every verb in any order, on a store and on the model of it; after each call both must be of one mind."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeAlias

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import UNSET
from redis.asyncio import Redis

from broker.core.errors import TitanError
from broker.core.settings import BrokerSettings
from broker.core.states import FINISHED, STATUSES, Status
from broker.core.timestamps import milliseconds, rfc3339
from broker.diagnostics.consistency import check
from broker.models.bulk import Action
from broker.models.groups import Group, GroupChanges, GroupSettings, JobRate, RetentionChanges, Retentions
from broker.models.jobs import Job, NewJob
from broker.models.reports import Finish, Held
from broker.models.retries import Retry
from broker.resp import keys
from broker.store.format.exported import read_line
from broker.store.group_limits import GroupLimits
from tests.conftest import NOW, assert_known_keys
from tests.property.kept import kept_of
from tests.property.model import FACTS, NOT_PAUSED, Model, ModelJob, Pause, Refused
from tests.stores import Enqueued, Store

Which: TypeAlias = tuple[str, int]
GROUPS = ("maps", "mail")
GRAVE = "dead"
"""A group that nobody enqueues to; it is for dead letters, as each of the others may be."""
ALL_GROUPS = (*GROUPS, GRAVE)
GRACE_MS = 700
"""How much longer than a job's timeout a short lease may last."""
FEW_S = st.sampled_from((0, 2, 86_400))
POLICIES = (
    Retry(max=2, delay=1, jitter=50, cap=3),
    Retry(max=9, delay=0, except_=("bad_exit",), max_age=4),
    Retry(max=1, delay=2, jitter=0, only=("busy", "timeout")),
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "image": st.just("x"),
    "payload": st.sampled_from((None, None, "12345678")),
    "timeout": st.sampled_from((None, 1, 2)),
    "priority": st.sampled_from((None, 0, 1, 2)),
    "max_retries": st.sampled_from((None, 0, 1, 2)),
    "retries_delay": st.sampled_from((None, 0, 2)),
    "retry": st.sampled_from((None, None, None, *POLICIES)),
}
DELAY = st.sampled_from((None, 0, 0, 1))
OLD_JOBS = st.builds(NewJob, delay=DELAY, **{name: field for name, field in FIELDS.items() if name != "retry"})
"""Jobs without a policy and without deadlines."""
PLAIN_JOBS = st.builds(NewJob, delay=DELAY, **FIELDS)
LIMITED_JOBS = st.builds(
    NewJob, delay=DELAY, start_within=st.sampled_from((None, 1, 3)), end_within=st.sampled_from((None, 1, 4)), **FIELDS
)
TIMES = [rfc3339(NOW + ms) for ms in (-5, 700, 86_400_500)]
TIMED_JOBS = st.builds(NewJob, run_at=st.sampled_from(TIMES), **FIELDS)
NEW_JOBS = PLAIN_JOBS | PLAIN_JOBS | LIMITED_JOBS | TIMED_JOBS
OLD_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "paused": st.sampled_from((None, None, None, True)),
    "max_concurrency": st.sampled_from((None, 1, 2)),
    "rate_limit": st.sampled_from((None, None, None, None, 1, 4, JobRate(1, 2), JobRate(4, 2, 1))),
    "delivery_limit": st.sampled_from((None, 1, 2)),
    "require_lease": st.sampled_from((None, True)),
    "retry": st.sampled_from((None, None, None, None, *POLICIES)),
    "retention": st.none() | st.none() | st.builds(Retentions, succeeded=FEW_S, failed=FEW_S, cancelled=FEW_S),
}
OLD_SETTINGS = st.builds(GroupSettings, **OLD_FIELDS)
"""Settings that hold no dead letters and no deadline of new jobs."""
SETTINGS = st.builds(
    GroupSettings,
    start_within=st.sampled_from((None, None, None, 1, 3)),
    dead_letter_to=st.sampled_from((None, GRAVE, *GROUPS)),
    **OLD_FIELDS,
)
OLD_CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "paused": st.sampled_from((None, False, False, True)),
    "max_concurrency": st.sampled_from((None, 1, 2)),
    "rate_limit": st.sampled_from((None, None, 4, JobRate(1, 2), JobRate(4, 2, 1))),
    "delivery_limit": st.sampled_from((None, 2)),
    "require_lease": st.sampled_from((None, True)),
    "retry": st.sampled_from((None, *POLICIES)),
    "retention": st.none() | st.builds(RetentionChanges, failed=FEW_S | st.none()),
}
CHANGES = OLD_CHANGES | {
    "start_within": st.sampled_from((None, 2)),
    "dead_letter_to": st.sampled_from((None, GRAVE, *GROUPS)),
}
GROUP = st.sampled_from(GROUPS)
LIMITS = st.sampled_from(
    (
        GroupLimits(0, 0),
        GroupLimits(0, 0),
        GroupLimits(0, 0),
        GroupLimits(6, 0),
        GroupLimits(0, 90),
        GroupLimits(8, 120),
    )
)
"""Unfinished jobs of a group, and their bytes; a job has 13 or 34."""
HELD = st.tuples(st.sampled_from(("running", "running", "running", "running", "any", "gone")), st.integers(0, 3))
KEPT = st.tuples(st.sampled_from(("finished", "finished", "finished", "any", "gone")), st.integers(0, 3))
"""A job: of the finished or the running, of all, or of those that are no longer there; counted round."""
WANTED = st.sampled_from(([], [], ["mail"], ["mail", "nowhere", "maps"]))
TOKEN = st.sampled_from(("right", "right", "right", "none", "stale", "wrong"))


def facts_of(text: bytes, own: dict[bytes, bytes]) -> dict[str, str]:
    """What the store has of a job that the model speaks of: in its text, and in the hash of its own."""
    told = kept_of(text) | {name.decode(): value.decode() for name, value in own.items()}
    return {name: str(told[name]) for name in FACTS if name in told}


def told_of_run(text: str) -> list[str]:
    """The words of an execution that the model has: not started_at, and of a finished one no short lease."""
    words = text.split()
    del words[2:3]
    if words[-2:-1] and words[-2] in FINISHED:
        del words[2:-2]
    return words


class TitanMachine(RuleBasedStateMachine):
    """Subclasses say which store: `connect` gives a client, `is_plain` is for fakeredis, `partitions` how many it has.

    Consumers differ by their lease tokens alone: tokens that are right, stale, wrong or missing are many consumers,
    and one that is never used again is a consumer that crashed.
    """

    is_plain = True
    partitions = 1

    def connect(self) -> Redis:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        prefix = f"test-{secrets.token_hex(6)}"
        self.settings = BrokerSettings(
            key_prefix=prefix, store_timeout_s=5, partitions=self.partitions, stop_grace_s=GRACE_MS / 1000
        )
        self.redis = self.connect()
        self.store = Store(self.redis, self.settings, is_plain=self.is_plain)
        self.model = Model(NOW, grace_ms=GRACE_MS)
        self.latest = NOW
        self.leases: dict[str, list[str]] = {}
        self.seen: list[str] = []
        self.groups: set[str] = set()
        self.configured = self.deleted = 0

    @initialize(limits=LIMITS, settings=SETTINGS)
    def open(self, limits: GroupLimits, settings: GroupSettings) -> None:
        self.run(self.store.open())
        self.advance(0)
        self.broker_dies(limits)
        self.configure("maps", settings)
        self.enqueue("maps", [NewJob(image="x", timeout=1), NewJob(image="x", priority=2, max_retries=1)])

    def teardown(self) -> None:
        self.store.now = str(self.latest)

        async def look() -> None:
            assert set(await self.store.discarded(1000)) == self.model.discarded
            assert await check(self.store) == []
            await assert_known_keys(self.store)

        try:
            self.run(look())
        finally:
            self.run(self.store.redis.aclose())
            self.runner.close()

    @rule(group=GROUP, jobs=st.lists(NEW_JOBS, min_size=1, max_size=4))
    def enqueue(self, group: str, jobs: list[NewJob]) -> None:
        self.enqueued(group, jobs, self.agree(self.store.enqueue(group, jobs), self.would_enqueue(group, jobs)))

    @precondition(lambda self: self.is_plain)  # without a wire only the fake takes refused calls again in their order
    @rule(group=GROUP, calls=st.lists(st.lists(PLAIN_JOBS, min_size=1, max_size=3), min_size=2, max_size=3))
    def enqueue_at_once(self, group: str, calls: list[list[NewJob]]) -> None:
        """Calls that share a run of the script: it is as if they had come one after the other.

        Where jobs must start in time each call has a run of its own, and nothing says which is first: so one at a time.
        """

        async def put(some: list[list[NewJob]]) -> list[Any]:
            return await asyncio.gather(*(self.store.enqueue(group, jobs) for jobs in some), return_exceptions=True)

        together = [[jobs] for jobs in calls] if group in self.model.start_within else [calls]
        for some in together:
            for jobs, outcome in zip(some, self.run(put(some)), strict=True):
                assert _word(outcome) == _word(_or_refusal(self.would_enqueue(group, jobs)))
                self.enqueued(group, jobs, None if isinstance(outcome, TitanError) else outcome)

    @rule(n=st.sampled_from((1, 2, 4)), groups=WANTED, lease_s=st.sampled_from((None, None, 1, 3)))
    def next(self, n: int, groups: list[str], lease_s: int | None) -> None:
        self.take(n, groups, lease_s)

    @rule(n=st.sampled_from((1, 3)), groups=WANTED)
    def hang_up(self, n: int, groups: list[str]) -> None:
        """A consumer is gone before its answer is written: its jobs go back, and the delivery is not counted."""
        jobs = self.take(n, groups, None)
        self.run(self.store.release_all(jobs))
        for job in jobs:
            self.model.release(job.group_name, job.id, str(job.lease), 0)

    @rule(limits=LIMITS)
    def broker_dies(self, limits: GroupLimits) -> None:
        """Between any two calls another broker, with other limits, takes over: nothing is lost with the old one."""
        self.settings = msgspec.structs.replace(self.settings, max_group_jobs=limits.jobs, max_group_bytes=limits.bytes)
        self.model.limits = limits
        self.model.new_broker()
        self.store = Store(self.redis, self.settings, is_plain=self.is_plain)
        self.store.now = str(self.model.now)

    @rule()
    def read_modes(self) -> None:
        """A broker reads what groups say of their new jobs, as it does every 5 s."""
        self.run(self.store.modes.read())
        self.model.read_modes()

    @rule()
    def move(self) -> None:
        """All is exported, and restored under another prefix, twice; the first store is not used any more."""
        old, prefix = self.store, f"test-{secrets.token_hex(6)}"
        self.settings = msgspec.structs.replace(self.settings, key_prefix=prefix)
        self.store = Store(self.redis, self.settings, is_plain=self.is_plain)
        self.store.now = old.now

        async def move() -> None:
            await self.store.open()
            pieces = [piece async for piece in old.transfer.export()]
            for piece in [*pieces, *pieces]:
                assert not piece.damaged
                lines = [read_line(line) for line in (piece.group, *piece.jobs) if line]
                groups, jobs = [line.group for line in lines if line.group], [line.job for line in lines if line.job]
                for p in {self.of(one.name) for one in groups} | {self.of(one.group) for one in jobs}:
                    await self.store.transfer.restore(p, groups, jobs)  # of one group
            await assert_known_keys(old)

        self.run(move())
        self.model.move()

    @rule(verb=st.sampled_from(("start", "succeed", "fail", "release")), which=HELD, token=TOKEN)
    def report(self, verb: str, which: Which, token: str) -> None:
        getattr(self, verb)(*self.pick(which, token))

    @rule(
        which=HELD,
        token=TOKEN,
        reason=st.sampled_from(("", "busy", "bad_exit")),
        may_retry=st.sampled_from((True, True, True, False)),
        retry_after=st.sampled_from((None, None, 0, 2)),
    )
    def fail_as_said(self, which: Which, token: str, reason: str, may_retry: bool, retry_after: int | None) -> None:
        """A failure that says whether and when its job is tried again."""
        group, job_id, lease = self.pick(which, token)
        retries: dict[str, Any] = {} if may_retry else {"retry": False}
        retries |= {} if retry_after is None else {"retry_after": retry_after}
        call = self.store.fail(group, job_id, lease, reason, **retries)
        more = {"may_retry": may_retry, "retry_after": retry_after}
        job = self.agree(call, lambda: self.model.finish(group, job_id, lease, "failed", reason, **more))
        self.note_failure(job_id, job)

    @rule(verbs=st.sampled_from(("cancel", "retry", "remove", "promote", "log", "log remove")), which=KEPT)
    def by_hand(self, verbs: str, which: Which) -> None:
        group, job_id, _ = self.pick(which, "none")
        for verb in verbs.split():
            getattr(self, verb)(group, job_id)

    @rule(action=st.sampled_from(("cancel", "retry", "delete", "promote")), group=GROUP)
    def bulk(self, action: Action, group: str) -> None:
        """What a bulk does to all jobs of a group in one pipeline is as if each was acted on alone."""
        jobs = [job.id for job in self.model.jobs.values() if job.group == group]
        acted = self.run(self.store.bulks.act(action, group, jobs, "ann"))
        new_ids = self.new_ids()
        verb = {"retry": self.model.check_retry, "delete": self.model.remove}.get(action)
        for job_id, outcome in zip(jobs, acted.outcomes, strict=True):
            expected = _or_refusal(verb or getattr(self.model, action), group, job_id)
            assert _word(outcome) == _word(expected)
            if action == "retry" and outcome is None:
                self.model.retried(self.model.jobs[job_id], new_ids.pop(job_id), by_hand=True)

    @rule(items=st.lists(st.tuples(HELD, TOKEN), min_size=1, max_size=3))
    def touch(self, items: list[tuple[Which, str]]) -> None:
        picked = [self.pick(*item) for item in items]
        ends = self.run(self.store.touch([Held(group_name=g, id=i, lease=lease) for g, i, lease in picked]))
        assert [_or_word(end) for end in ends] == [_or_refusal(self.model.touch, *item) for item in picked]

    @rule(items=st.lists(st.tuples(HELD, TOKEN, st.sampled_from(("succeeded", "failed"))), min_size=1, max_size=3))
    def finish(self, items: list[tuple[Which, str, Status]]) -> None:
        picked = [(*self.pick(which, token), status) for which, token, status in items]
        told = [Finish(group_name=g, id=i, lease=lease, status=status) for g, i, lease, status in picked]
        outcomes = self.run(self.store.finish(told))
        for (group, job_id, lease, status), outcome in zip(picked, outcomes, strict=True):
            expected = _or_refusal(self.model.finish, group, job_id, lease, status, "")
            assert _word(outcome) == _word(expected)
        self.note_new()

    @precondition(lambda self: self.configured < 4)
    @rule(group=GROUP, settings=SETTINGS)
    def configure(self, group: str, settings: GroupSettings) -> None:
        self.configured += 1  # not often: a group that is paused or full hides much
        call = self.store.groups.configure(group, settings, "ann")
        shown = self.agree(call, lambda: self.check_dead_letters(group, settings.dead_letter_to))
        if shown is None:
            return
        self.groups.add(group)
        self.model.configure(group, settings, "ann")
        assert self.pause_of(shown) == self.model.paused.get(group, NOT_PAUSED)

    @precondition(lambda self: self.configured < 8)
    @rule(group=GROUP, changes=st.fixed_dictionaries({}, optional=CHANGES))
    def adjust(self, group: str, changes: dict[str, Any]) -> None:
        """Some settings change, the others stay; a pause has who began it and when."""
        self.configured += 1
        call = self.store.groups.adjust(group, GroupChanges(**changes), "bob")
        tagged = self.agree(call, lambda: self.check_dead_letters(group, changes.get("dead_letter_to")))
        if tagged is None:
            return
        shown = tagged.group
        self.groups.add(group)
        self.model.adjust(group, changes, "bob")
        assert self.pause_of(shown) == self.model.paused.get(group, NOT_PAUSED)
        assert shown.max_concurrency == (self.model.of(group).max_concurrency or UNSET)

    @precondition(lambda self: self.deleted < 1)  # not often: with it goes much that other rules could meet
    @rule(group=GROUP)
    def delete_group(self, group: str) -> None:
        """A group without unfinished jobs goes with all that was its own; an enqueue makes it again."""
        is_known = group in self.groups
        expected = partial(self.model.delete_group, group, is_known=is_known)
        self.agree(self.store.groups.delete_group(group), expected)
        if is_known and not any(job.group == group for job in self.model.jobs.values()):
            self.deleted += 1
            self.groups.remove(group)

    @rule(ms=st.sampled_from((1, 500, 1000, 86_400_000, -700, -3_600_000)))
    def advance(self, ms: int) -> None:
        """The clock moves forward, jumps, or goes back as after a failover."""
        self.model.now += ms
        self.latest = max(self.latest, self.model.now)
        self.store.now = str(self.model.now)

    @rule(late_ms=st.sampled_from((-1, 0, 0, 1000)), limit=st.sampled_from((1, 3, 100)))
    def reap(self, late_ms: int, limit: int) -> None:
        """The next timer comes, nearly, exactly or late."""
        next_due = self.model.next_due()
        if next_due < float("inf"):
            self.advance(max(0, int(next_due) - self.model.now + late_ms))
        for _ in range(10 * len(self.seen) + 10):
            if (wait_ms := self.run(self.store.reap(limit)).wait_ms) != 0:
                break
        assert wait_ms != 0, "the reaper comes to no end"
        self.model.reap(self.new_ids(), self.score)
        self.groups |= {job.group for job in self.model.jobs.values()}
        wait = float("inf") if wait_ms is None else wait_ms
        assert wait <= self.model.next_due() - self.model.now, "the reaper would sleep past the next timer"

    @invariant()
    def is_sound(self) -> None:
        """`titan check` finds nothing, by the latest clock: one that fell back leaves timers that are as much late."""
        self.store.now = str(self.latest)
        for group in self.groups:
            ids = [job.id for job in self.model.jobs.values() if job.group == group]
            for some in (ids, []):
                assert self.run(self.store.check(group, some, is_repair=False)) == []
        self.store.now = str(self.model.now)

    @invariant()
    def counts_dead_letters(self) -> None:
        """The store counts dead letters by the groups that they come from."""

        async def look() -> dict[str, int]:
            found = [await self.redis.hgetall(keys.dead_letters(p)) for p in self.store.partitions]
            return {group.decode(): int(n) for some in found for group, n in some.items()}

        assert self.run(look()) == self.model.copies

    @invariant()
    def agrees(self) -> None:
        """Jobs, the order of every queue, and the groups that may dispatch are the model's.

        So a job that failed for good has exactly one copy, and one that was cancelled has none.
        """

        async def look() -> tuple[list[dict[str, str]], list[list[str]], list[Any], dict[str, int]]:
            pipeline = self.redis.pipeline(transaction=False)
            for job_id in self.seen:
                pipeline.hget(keys.jobs(self.home(job_id)), job_id)
                pipeline.hgetall(keys.job(self.home(job_id), job_id))
                pipeline.hget(keys.executions(self.home(job_id)), job_id)
            for group in ALL_GROUPS:
                pipeline.zrange(keys.members(self.of(group), group, "queued"), 0, -1)
            for group in ALL_GROUPS:
                pipeline.zrange(keys.members(self.of(group), group, "running"), 0, -1, withscores=True)
            for p in self.store.partitions:
                pipeline.zrange(keys.ready(p), 0, -1)
            heads = len(ALL_GROUPS)
            for group in ALL_GROUPS:
                pipeline.zscore(self.of(group) + ":bytes", group)
            replies = await pipeline.execute()
            replies, sizes = replies[:-heads], replies[-heads:]
            jobs, replies = replies[: 3 * len(self.seen)], replies[3 * len(self.seen) :]
            facts = [facts_of(text or b"", own) for text, own in zip(jobs[::3], jobs[1::3], strict=True)]
            runs = [told_of_run((run or b"").decode()) for run in jobs[2::3]]
            sums = {group: int(size) for group, size in zip(ALL_GROUPS, sizes, strict=True) if size is not None}
            assert sums == self.model.sums(ALL_GROUPS)
            ends = {job_id.decode(): int(at) for reply in replies[heads : 2 * heads] for job_id, at in reply}
            texts = [[value.decode() for value in reply] for reply in (*replies[:heads], *replies[2 * heads :])]
            return facts, runs, texts, ends

        facts, runs, replies, ends = self.run(look())
        queues, ready = replies[: -self.partitions], replies[-self.partitions :]
        assert ends == {job.id: job.expires_at for job in self.model.jobs.values() if job.status == "running"}
        for job_id, fact, run in zip(self.seen, facts, runs, strict=True):
            job = self.model.jobs.get(job_id)
            assert run == (job.run() if job else [])
            assert fact == (job.facts() if job else {})
        for group, queue in zip(ALL_GROUPS, queues, strict=True):
            assert queue == [job.id for job in self.model.queue(group)]
        for p, groups in zip(self.store.partitions, ready, strict=True):
            assert groups == [group for group in self.model.ready() if self.of(group) == p]

    def take(self, n: int, groups: list[str], lease_s: int | None) -> list[Job]:
        """What `next` dispatches, as the model has it; of several partitions, which alternate, one at a time."""
        if self.partitions > 1:
            groups = [groups[0] if groups else GROUPS[n % 2]]
        jobs: list[Job] = self.run(self.store.next(n, groups, lease_s))
        expected = self.model.next(n, groups, lease_s)
        assert [job.id for job in jobs] == [job.id for job in expected]
        for job, ours in zip(jobs, expected, strict=True):
            self.learn(ours, str(job.lease))
        return jobs

    def pause_of(self, shown: Group) -> Pause:
        """Since when, ms, and by whom a group is paused."""
        return milliseconds(shown.paused_at) if shown.paused_at else 0, shown.paused_by or ""

    def would_enqueue(self, group: str, jobs: list[NewJob]) -> Callable[[], None]:
        return lambda: self.model.check_enqueue(group, jobs)

    def enqueued(self, group: str, jobs: list[NewJob], outcome: Enqueued | None) -> None:
        """Note what was made; None where it was refused."""
        if outcome is not None:
            ids = [job.id for job in outcome.jobs]
            self.groups.add(group)
            self.seen += ids
            self.model.enqueue(group, jobs, ids)

    def of(self, group: str) -> str:
        """The partition that has the group."""
        return self.store.partitions[keys.partition_of(group, self.partitions)]

    def home(self, job_id: str) -> str:
        """The partition that has the job; of one that is gone, any."""
        job = self.model.jobs.get(job_id)
        return self.of(job.group) if job else self.store.partitions[len(self.seen) % self.partitions]

    def start(self, group: str, job_id: str, lease: str) -> None:
        job = self.agree(self.store.start(group, job_id, lease), lambda: self.model.start(group, job_id, lease))
        if job is not None and job.lease:
            self.learn(self.model.jobs[job_id], job.lease)

    def succeed(self, group: str, job_id: str, lease: str) -> None:
        call = self.store.succeed(group, job_id, lease)
        self.agree(call, lambda: self.model.finish(group, job_id, lease, "succeeded", ""))

    def fail(self, group: str, job_id: str, lease: str) -> None:
        call = self.store.fail(group, job_id, lease, "bad_exit")
        job = self.agree(call, lambda: self.model.finish(group, job_id, lease, "failed", "bad_exit"))
        self.note_failure(job_id, job)

    def note_failure(self, job_id: str, job: Job | None) -> None:
        """Note what a failure made; the answer says that but for its copy, and how often the job failed."""
        assert job is None or (job.attempts or 0) == self.model.jobs[job_id].attempts
        self.note_new()
        if job is not None:
            assert (job.retry_at or None) == self.model.jobs[job_id].retry_at

    def note_new(self) -> None:
        """Note retries and dead letters that reports made: those that the model owes, in the order of their ranks."""
        owed, self.model.owed = self.model.owed, {}
        if not owed:
            return
        new_ids = self.new_ids()
        groups = {job_id: self.model.of(self.model.jobs[job_id].group).dead_letter_to or "" for job_id in owed}
        for job_id, what in owed.items():
            if what == "retry":
                groups[job_id] = self.model.jobs[job_id].group
        for job_id in sorted(owed, key=lambda old: self.score(new_ids[old], groups[old])):
            made = {"retry": self.model.retried, "copy": self.model.buried}[owed[job_id]]
            self.groups.add(made(self.model.jobs[job_id], new_ids[job_id]).group)

    def release(self, group: str, job_id: str, lease: str) -> None:
        delay = len(self.seen) % 2
        call = self.store.release(group, job_id, lease, delay)
        self.agree(call, lambda: self.model.release(group, job_id, lease, delay))

    def cancel(self, group: str, job_id: str) -> None:
        self.agree(self.store.cancel(group, job_id), lambda: self.model.cancel(group, job_id))

    def retry(self, group: str, job_id: str) -> None:
        new = self.agree(self.store.retry(group, job_id), lambda: self.model.check_retry(group, job_id))
        if new is not None:
            self.seen.append(new.id)
            self.model.retried(self.model.jobs[job_id], new.id, by_hand=True)

    def remove(self, group: str, job_id: str) -> None:
        had_log = self.agree(self.store.remove(group, job_id), lambda: self.model.remove(group, job_id))
        assert had_log is None or had_log == (job_id in self.model.discarded)

    def promote(self, group: str, job_id: str) -> None:
        self.agree(self.store.promote(group, job_id), lambda: self.model.promote(group, job_id))

    def log(self, group: str, job_id: str) -> None:
        self.agree(self.store.log(group, job_id, 12), lambda: self.model.log(group, job_id))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def agree(self, work: Coroutine[Any, Any, Any], expected: Callable[[], Any]) -> Any:
        """The store's answer; or None, when it refuses with the word that the model refuses with."""
        try:
            answer = self.run(work)
        except TitanError as refusal:
            answer = refusal
        refused = _word(_or_refusal(expected))
        assert _word(answer) == refused
        if refused:
            return None
        return answer

    def pick(self, which: Which, token: str) -> tuple[str, str, str]:
        """Group, id and lease token of a job. Without any, those of a job that never existed."""
        kind, number = which
        kinds = {"running": ("running",), "finished": FINISHED}
        jobs = [job for job in self.model.jobs.values() if job.status in kinds.get(kind, STATUSES)]
        if kind == "gone" or not jobs:
            return GROUPS[number % 2], self.seen[number % len(self.seen)] if self.seen else "0" * 16, ""
        job = jobs[number % len(jobs)]
        stale = [lease for lease in self.leases.get(job.id, []) if lease != job.lease]
        held = {"right": job.lease or "", "none": "", "stale": stale[-1] if stale else "gone", "wrong": "wrong"}
        return job.group, job.id, held[token]

    def learn(self, ours: ModelJob, lease: str) -> None:
        """Note the token of a delivery; it is like no other."""
        assert all(lease not in leases for leases in self.leases.values())
        ours.lease = lease
        self.leases.setdefault(ours.id, []).append(lease)

    def new_ids(self) -> dict[str, str]:
        """By old id, the jobs of the store that are new to us."""
        pages: Sequence[Any] = [self.run(self.store.list(group, 1000))[0] for group in ALL_GROUPS]
        new = [job for page in pages for job in page if job.id not in self.seen]
        self.seen += [job.id for job in new]
        return {job.retry_of: job.id for job in new}

    def score(self, job_id: str, group: str = "") -> float:
        """The rank of a queued job; 0 for one that is delayed."""
        group = group or self.model.jobs[job_id].group
        return float(self.run(self.store.redis.zscore(keys.members(self.of(group), group, "queued"), job_id)) or 0)

    def check_dead_letters(self, group: str, to: str | None) -> None:
        """Whether the group may have its dead letters there: also not in another partition."""
        if to and self.of(to) != self.of(group):
            raise Refused("INVALID")
        self.model.check_dead_letters(group, to)


def _or_refusal(verb: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return verb(*arguments)
    except Refused as refused:
        return str(refused)


def _or_word(outcome: Any) -> Any:
    return outcome.word if isinstance(outcome, TitanError) else outcome


def _word(outcome: Any) -> str:
    """The word of a refusal, the store's or the model's; '' for anything else."""
    return outcome if isinstance(outcome := _or_word(outcome), str) else ""
