"""Everything at once, in any order of calls: what the store keeps agrees with itself, and in the end every job ends.

The other machines compare a part with its model. This one has no model: it looks for what two parts do to each other.
"""

from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test
from redis.asyncio import Redis

from broker.core.errors import NotFound, StoreDamaged, StoreUnavailable, TitanError
from broker.core.states import FINISHED, Status
from broker.diagnostics.consistency import check
from broker.models.batches import CallbackJob, NewBatch
from broker.models.groups import GroupSettings, JobRate
from broker.models.jobs import Job, NewJob
from broker.models.reports import Finish
from broker.models.retries import Retry
from broker.models.schedules import NewSchedule, ScheduledJob
from broker.models.unique import Unique
from broker.resp.client import connect
from tests.conftest import NOW, assert_known_keys
from tests.property.store_machine import StoreMachine
from tests.property.test_machine import SEARCH

pytestmark = pytest.mark.timeout(400)
GROUPS = ("a", "b", "c")
DEAD = "c"
"""Gets the dead letters, where a group has them."""
SCHEDULES = ("s", "t")
TIMEOUT_S, LONG_S = 5, 61
"""Of most jobs; longer than every timeout, delay and wait."""
GROUP, PLACE = st.sampled_from(GROUPS), st.integers(0, 30)
"""A place is counted round among the jobs, batches or leases that there are."""
UNIQUE = st.builds(
    Unique,
    key=st.sampled_from(("u", "v")),
    until=st.sampled_from((None, "started")),
    on_conflict=st.sampled_from(("existing", "refuse", "replace", "follow")),
) | st.builds(
    Unique, key=st.sampled_from(("u", "v")), for_=st.just(5), on_conflict=st.sampled_from((None, "replace", "follow"))
)
RETRY = st.builds(Retry, max=st.just(2), delay=st.just(1), jitter=st.just(0))
IN_SCHEDULE: dict[str, st.SearchStrategy[Any]] = {
    "image": st.sampled_from(("x", "y")),
    "payload": st.sampled_from(("p", "p" * 30)),
    "priority": st.sampled_from((None, 1, 2)),
    "timeout": st.just(TIMEOUT_S),
    "key": st.sampled_from((None, None, "k", "l")),
    "start_within": st.sampled_from((None, None, 4)),
    "end_within": st.sampled_from((None, None, 9)),
    "unique": st.none() | UNIQUE,
    "retry": st.none() | RETRY,
}
NEW = st.tuples(
    st.builds(NewJob, delay=st.sampled_from((None, None, 2)), after_on=st.none(), **IN_SCHEDULE),
    st.lists(PLACE, max_size=2),
    st.booleans(),
)
"""A job without its parents, the places of these, and whether any end of theirs is enough."""
PLAIN = st.builds(NewJob, image=st.just("x"), max_retries=st.sampled_from((None, 1)), retries_delay=st.just(0))
SPEC = st.builds(
    NewSchedule,
    every=st.sampled_from((2, 5)),
    overlap=st.sampled_from(("skip", "queue", "queue_all", "cancel", "allow")),
    missed=st.sampled_from(("one", "all", "none")),
    job=st.builds(ScheduledJob, **IN_SCHEDULE),
)
LIMITS = st.builds(
    GroupSettings,
    max_concurrency=st.sampled_from((None, None, 1, 2)),
    rate_limit=st.sampled_from((None, None, 2, JobRate(1, 2))),
    paused=st.sampled_from((None, None, None, True)),
    weight=st.sampled_from((None, 2)),
    priority_boost=st.sampled_from((None, None, 1, 5)),
    fair_keys=st.sampled_from((None, True)),
    key_concurrency=st.sampled_from((None, 1)),
    key_strict=st.sampled_from((None, True)),
    max_bytes=st.sampled_from((None, None, 200)),
    max_jobs=st.sampled_from((None, None, 12)),
    delivery_limit=st.just(2),
    dead_letter_to=st.sampled_from((None, None, DEAD)),
    retry=st.none() | RETRY,
)


class MixedMachine(StoreMachine):
    """All verbs; refusals are answers too."""

    store_timeout_s = 30.0

    def __init__(self) -> None:
        super().__init__()
        self.store = self.opened(NOW)
        self.taken: list[Job] = []
        self.batches: list[tuple[str, str]] = []
        self.ends: dict[str, Status] = {}

    def attempt(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The answer, or None where the store refuses; a fault of the store is one of the test."""
        try:
            return self.run(work)
        except (StoreDamaged, StoreUnavailable):
            raise
        except TitanError:
            return None

    def drain(self) -> None:
        """Without limits, schedules and open batches, all jobs end when they are taken, and no batch is left open."""
        for group in GROUPS:
            self.run(self.store.configure(group, GroupSettings()))
            for name in SCHEDULES:
                self.attempt(self.store.schedules.remove(group, name))
        for group, batch_id in self.batches:
            self.attempt(self.store.batches.close(group, batch_id))
        before = None
        while before != (before := {job.id: job.status for job in self.jobs()}):
            self.advance(LONG_S)
            self.settle(100)
            self.taken = self.run(self.store.next(100))
            for place in range(len(self.taken)):
                self.finish([place], "succeeded")
            self.settle(100)
        assert [(job.id, job.status) for job in self.jobs() if job.status not in FINISHED] == []
        for group, batch_id in self.batches:
            batch = self.attempt(self.store.batches.show(group, batch_id))
            assert batch is None or batch.ended_at
        self.is_sound()
        self.run(assert_known_keys(self.store))

    @rule(group=GROUP, jobs=st.lists(NEW, min_size=1, max_size=3))
    def enqueue(self, group: str, jobs: list[tuple[NewJob, list[int], bool]]) -> None:
        self.attempt(self.store.enqueue(group, self.tied(group, jobs)))

    @rule(group=GROUP, jobs=st.lists(PLAIN, min_size=1, max_size=3))
    def enqueue_plain(self, group: str, jobs: list[NewJob]) -> None:
        self.attempt(self.store.enqueue(group, jobs))

    def tied(self, group: str, jobs: Sequence[tuple[NewJob, list[int], bool]]) -> list[NewJob]:
        """The jobs with the parents that are meant, jobs of the call or of the group."""
        known = [job.id for job in self.jobs() if job.group_name == group][-8:]
        made = []
        for at, (job, places, is_any_end) in enumerate(jobs):
            before = known + [f"r{number}" for number in range(at)]
            after = list(dict.fromkeys(before[place % len(before)] for place in places if before)) or None
            more = {"after_on": "over"} if after and is_any_end else {}
            made.append(NewJob(**(_given(job) | {"ref": f"r{at}", "after": after} | more)))
        return made

    @rule(
        n=st.sampled_from((1, 2, 5)),
        groups=st.lists(GROUP, max_size=1),
        images=st.lists(st.sampled_from("xy"), max_size=2),
    )
    def take(self, n: int, groups: list[str], images: list[str]) -> None:
        self.taken += self.run(self.store.next(n, groups, None, tuple(dict.fromkeys(images))))

    @rule(place=PLACE)
    def start(self, place: int) -> None:
        if job := self.pick(place):
            self.taken += filter(None, [self.attempt(self.store.start(job.group_name, job.id))])

    @rule(places=st.lists(PLACE, min_size=1, max_size=3), status=st.sampled_from(("succeeded", "failed")))
    def finish(self, places: list[int], status: Any) -> None:
        """Report jobs, also with leases that are lost."""
        if self.taken:
            jobs = [self.taken[place % len(self.taken)] for place in places]
            reports = [Finish(group_name=job.group_name, id=job.id, lease=job.lease, status=status) for job in jobs]
            self.run(self.store.finish(reports))

    @rule(place=PLACE, how=st.sampled_from(("fail at last", "release", "wait")), parents=st.lists(PLACE, max_size=2))
    def give_back(self, place: int, how: str, parents: list[int]) -> None:
        if not self.taken:
            return
        job = self.taken[place % len(self.taken)]
        lease = job.lease or ""
        if how == "wait":
            names = [one.id for one in map(self.pick, parents) if one and one.group_name == job.group_name]
            self.attempt(self.store.completer.wait(job.group_name, job.id, names, "over", lease))
        elif how == "release":
            self.attempt(self.store.release(job.group_name, job.id, lease, place % 3))
        else:
            self.attempt(self.store.fail(job.group_name, job.id, lease, "bad_exit", retry=False))

    @rule(place=PLACE, verb=st.sampled_from(("cancel", "promote", "retry", "retry_flow", "remove")))
    def act(self, place: int, verb: str) -> None:
        job = self.pick(place)
        if job is None:
            return
        answer = self.attempt(getattr(self.store.jobs, verb)(job.group_name, job.id))
        if verb == "remove" and answer is not None:
            self.ends.pop(job.id, None)

    @rule(group=GROUP, key=st.sampled_from(("u", "v")))
    def free(self, group: str, key: str) -> None:
        self.attempt(self.store.unique_keys.free(group, key))

    @rule(group=GROUP, limits=LIMITS)
    def configure(self, group: str, limits: GroupSettings) -> None:
        self.attempt(self.store.configure(group, limits))

    @rule(order=st.sampled_from(("fifo", "fair")))
    def set_order(self, order: Any) -> None:
        self.run(self.store.order.set(order))

    @rule(group=GROUP)
    def delete_group(self, group: str) -> None:
        self.attempt(self.store.groups.delete_group(group))
        self.ends = {job_id: end for job_id, end in self.ends.items() if job_id in {job.id for job in self.jobs()}}

    @rule(seconds=st.sampled_from((0, 0.5, 1, 3)))
    def advance(self, seconds: float) -> None:
        """Time passes, and the reaper handles the timers whose time has come."""
        self.store.now = str(int(self.store.now) + round(seconds * 1000))
        while self.run(self.store.reap(100)).wait_ms == 0:
            pass

    @rule(limit=st.sampled_from((1, 2, 100)))
    def settle(self, limit: int) -> None:
        while self.run(self.store.maintenance.settle(limit)).n and limit == 100:
            pass

    @rule(group=GROUP, name=st.sampled_from(SCHEDULES), spec=SPEC)
    def put_schedule(self, group: str, name: str, spec: NewSchedule) -> None:
        self.attempt(self.store.schedules.put(group, name, spec, "ann"))

    @rule(group=GROUP, name=st.sampled_from(SCHEDULES), how=st.sampled_from(("run", "pause", "resume", "remove")))
    def change_schedule(self, group: str, name: str, how: str) -> None:
        if how == "run":
            self.attempt(self.store.schedule_fires.run(group, name, None))
        else:
            self.attempt(getattr(self.store.schedules, how)(group, name))

    @rule(limit=st.sampled_from((1, 3)))
    def fire(self, limit: int) -> None:
        self.run(self.store.schedule_fires.fire_due(limit))

    @rule(group=GROUP, jobs=st.lists(NEW, max_size=2), callbacks=GROUP, is_open=st.booleans())
    def create_batch(
        self, group: str, jobs: list[tuple[NewJob, list[int], bool]], callbacks: str, *, is_open: bool
    ) -> None:
        call = CallbackJob(image="x", group_name=callbacks)
        new = NewBatch(jobs=self.tied(group, jobs), open=is_open, on_failed=call, on_succeeded=call, on_over=call)
        if made := self.attempt(self.store.batches.create(group, new)):
            self.batches.append((group, made[0].id))

    @rule(place=PLACE, how=st.sampled_from(("add", "add", "close", "cancel", "retry_batch")), job=NEW)
    def change_batch(self, place: int, how: str, job: tuple[NewJob, list[int], bool]) -> None:
        if not self.batches:
            return
        group, batch_id = self.batches[place % len(self.batches)]
        if how == "add":
            self.attempt(self.store.batches.add(group, batch_id, self.tied(group, [job])))
        elif (answer := self.attempt(getattr(self.store.batches, how)(group, batch_id))) and how == "retry_batch":
            self.batches.append((group, answer[0].id))

    def jobs(self) -> list[Job]:
        found: list[Job] = []
        for group in GROUPS:
            try:
                found += self.run(self.store.list(group, 1000))[0]
            except NotFound:
                continue
        return found

    def pick(self, place: int) -> Job | None:
        jobs = self.jobs()
        return jobs[place % len(jobs)] if jobs else None

    @invariant()
    def is_sound(self) -> None:
        """`titan check` finds nothing, and a job that has ended stays as it is until it is deleted."""
        assert self.run(check(self.store)) == []
        ends = {job.id: job.status for job in self.jobs() if job.status in FINISHED}
        assert self.ends.items() <= ends.items()
        self.ends = ends


def _given(job: NewJob) -> dict[str, Any]:
    return {name: value for name in job.__struct_fields__ if (value := getattr(job, name)) is not None}


def test_everything_at_once_agrees_with_itself(valkey_url: str) -> None:
    """Whatever is called in whatever order."""

    class Mixed(MixedMachine):
        def connect(self) -> Redis:
            return connect(valkey_url, 30, 2)

    run_state_machine_as_test(Mixed, settings=settings(SEARCH, max_examples=25, stateful_step_count=50))
    assert issubclass(Mixed, MixedMachine)
