"""Jobs that wait for others and unique keys in any order of calls, with settlements at any time, against a model."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test
from redis.asyncio import Redis

from broker.core.errors import NotFound, TitanError
from broker.diagnostics.consistency import check
from broker.models.groups import GroupSettings
from broker.models.jobs import Job, NewJob
from broker.models.reports import Finish
from broker.models.retries import Retry
from broker.models.unique import Unique
from broker.resp.client import connect
from broker.resp.script_source import SCRIPTS
from broker.store.format.exported import read_line
from tests.conftest import NOW, assert_known_keys
from tests.property.model import Refused
from tests.property.store_machine import StoreMachine
from tests.property.test_machine import SEARCH
from tests.property.ties import DELIVERIES, POLICY_MAX, TIMEOUT_MS, Given, Ties

GROUPS = ("maps", "mail")
KEYS = ("a", "b")
GROUP = st.sampled_from(GROUPS)
POLICY = Retry(max=POLICY_MAX, backoff="constant", delay=1, jitter=0)
PLACE = st.integers(0, 40)
"""A job: counted round among those that fit."""
LOOSE = st.builds(
    Given,
    key=st.sampled_from(("", "", *KEYS)),
    until=st.sampled_from(("over", "over", "started")),
    on_conflict=st.sampled_from(("existing", "refuse", "replace", "push", "follow", "follow")),
    delay_ms=st.sampled_from((0, 0, 1000)),
    max_retries=st.sampled_from((0, 0, 1)),
    start_within_ms=st.sampled_from((0, 0, 0, 3000)),
)
WINDOWS = LOOSE.map(lambda given: given._replace(until="window", until_ms=4000, max_retries=0))
FORGIVEN = LOOSE.map(lambda given: given._replace(max_retries=0, has_policy=True))
PARENTS = st.lists(PLACE, max_size=2, unique=True)
NEW = st.tuples(LOOSE | LOOSE | WINDOWS | FORGIVEN, PARENTS, st.booleans(), st.booleans())
"""A job without its parents; these, counted among the jobs of the call and those before; whether any end is enough."""


class TiesMachine(StoreMachine):
    """Each call, next to what the model says of it."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Ties(NOW)
        self.seen: list[str] = []
        self.latest = NOW
        self.store = self.opened(NOW)

    @initialize()
    def configure(self) -> None:
        for group in GROUPS:
            self.run(self.store.configure(group, GroupSettings(delivery_limit=DELIVERIES), "ann"))

    def drain(self) -> None:
        """Whatever was done before: once all jobs that may run have run, none is left that waits."""
        for _ in range(len(self.model.jobs) + 3):
            self.settle(100)
            self.advance(4000)
            for job in self.taken(50):
                self.run(self.store.succeed(job.group_name, job.id, job.lease))
                self.model.end(job.id, "succeeded")
        assert not [job for job in self.model.jobs.values() if not job.is_over]
        self.is_sound()
        self.store.now = str(self.latest)
        assert self.run(check(self.store)) == []
        self.run(assert_known_keys(self.store))

    @rule(group=GROUP, jobs=st.lists(NEW, min_size=1, max_size=3))
    def enqueue(self, group: str, jobs: list[tuple[Given, list[int], bool, bool]]) -> None:
        given = [self.tied(at, *job) for at, job in enumerate(jobs)]
        new = [self.new_job(at, one) for at, one in enumerate(given)]
        made = self.agree(self.store.enqueue(group, new), lambda: self.model.check(group, given))
        if made is not None:
            ids = [job.id for job in made.jobs]
            assert self.model.enqueue(group, given, ids) == ids
            self.seen += [job_id for job_id in dict.fromkeys(ids) if job_id not in self.seen]

    def tied(self, at: int, given: Given, parents: list[int], is_any_end: bool, is_tied: bool) -> Given:
        """The job with the parents that are meant; `#1` is the second job of the call."""
        before = [f"#{number}" for number in range(at)] + self.seen[-12:]
        names = tuple(dict.fromkeys(before[place % len(before)] for place in parents)) if is_tied and before else ()
        delay_ms = 1000 if given.on_conflict == "push" else given.delay_ms
        return given._replace(after=names, is_any_end=is_any_end, delay_ms=delay_ms)

    def new_job(self, at: int, given: Given) -> NewJob:
        times = {"for_": given.until_ms // 1000} if given.until == "window" else {"until": given.until}
        unique = Unique(key=given.key, on_conflict=given.on_conflict, **times) if given.key else None  # type: ignore[arg-type]
        return NewJob(
            image="x",
            ref=f"r{at}",
            after=[f"r{name[1:]}" if name[0] == "#" else name for name in given.after] or None,
            after_on="over" if given.is_any_end and given.after else None,
            unique=unique,
            delay=given.delay_ms // 1000 or None,
            timeout=TIMEOUT_MS // 1000,
            max_retries=given.max_retries or None,
            retries_delay=1 if given.max_retries else None,
            retry=POLICY if given.has_policy else None,
            start_within=given.start_within_ms // 1000 or None,
        )

    @rule(n=st.sampled_from((1, 2, 5)))
    def take(self, n: int) -> None:
        self.taken(n)

    def taken(self, n: int) -> list[Job]:
        jobs: list[Job] = self.run(self.store.next(n))
        for job in jobs:
            self.model.take(job.id, str(job.lease))
        queued = [job for job in self.model.jobs.values() if job.status == "queued"]
        assert len(jobs) == n or not queued
        return jobs

    @rule()
    def hang_up(self) -> None:
        """A consumer is gone before its answer is written."""
        jobs = self.taken(2)
        self.run(self.store.release_all(jobs))
        for job in jobs:
            self.model.release(job.id, 0)

    @rule(place=PLACE, how=st.sampled_from(("succeed", "succeed", "fail", "fail at last", "release", "delay", "bulk")))
    def report(self, place: int, how: str) -> None:
        job = self.pick(place, "running")
        if job is None:
            return
        if how in {"succeed", "bulk"}:
            told = Finish(group_name=job.group, id=job.id, lease=job.lease, status="succeeded")
            self.run(self.store.finish([told, told]) if how == "bulk" else self.store.completer.succeed(told))
            self.model.end(job.id, "succeeded")
        elif how in {"release", "delay"}:
            self.run(self.store.release(job.group, job.id, job.lease, int(how == "delay")))
            self.model.release(job.id, 1000 if how == "delay" else 0)
        else:
            more = {} if how == "fail" else {"retry": False}
            answer = self.run(self.store.fail(job.group, job.id, job.lease, "bad_exit", **more))
            new_id = answer.retry_at or ""
            self.seen += [new_id] if new_id else []
            self.model.fail(job.id, "bad_exit", new_id, may_retry=how == "fail")

    @rule(place=PLACE, parents=st.lists(PLACE, min_size=1, max_size=2, unique=True), is_any_end=st.booleans())
    def wait(self, place: int, parents: list[int], is_any_end: bool) -> None:
        """A running job waits for others, and its consumer sends the call twice."""
        job, before = self.pick(place, "running"), self.seen[-12:]
        if job is None:
            return
        names, after_on = [before[one % len(before)] for one in parents], "over" if is_any_end else "succeeded"
        call = self.store.completer.wait(job.group, job.id, names, after_on, job.lease)
        if self.agree(call, lambda: self.model.wait(job.id, names, is_any_end=is_any_end)) is not None:
            self.run(self.store.completer.wait(job.group, job.id, names, after_on, job.lease))

    @rule(place=PLACE)
    def cancel(self, place: int) -> None:
        job = self.pick(place, "held", "delayed", "queued", "running")
        if job is not None:
            self.run(self.store.cancel(job.group, job.id))
            self.model.end(job.id, "cancelled", "client_request")

    @rule(place=PLACE)
    def retry(self, place: int) -> None:
        job = self.pick(place, "succeeded", "failed", "cancelled")
        if job is not None:
            new = self.agree(self.store.retry(job.group, job.id), lambda: self.model.retry(job.id))
            if new is not None:
                self.seen.append(new.id)
                self.model.retried(job.id, new.id)

    @rule(place=PLACE)
    def promote(self, place: int) -> None:
        job = self.pick(place, "held", "delayed")
        if job is not None:
            self.agree(self.store.promote(job.group, job.id), lambda: self.model.promote(job.id))

    @rule(place=PLACE)
    def remove(self, place: int) -> None:
        job = self.pick(place, "succeeded", "failed", "cancelled")
        if job is not None:
            self.run(self.store.remove(job.group, job.id))
            self.model.remove([job.id])

    @rule(group=GROUP)
    def remove_all(self, group: str) -> None:
        """A bulk deletes all jobs of a group that have ended."""
        over = [job.id for job in self.model.jobs.values() if job.group == group and job.is_over]
        if over:
            assert not any(self.run(self.store.bulks.act("delete", group, over, "ann")).outcomes)
            self.model.remove(over)

    @rule(limit=st.sampled_from((1, 1, 2, 100)))
    def settle(self, limit: int) -> None:
        self.run(self.store.maintenance.settle(limit))
        self.model.settle(limit)

    @rule(group=GROUP, key=st.sampled_from(KEYS))
    def free(self, group: str, key: str) -> None:
        self.agree(self.store.unique_keys.free(group, key), lambda: self.model.free(group, key))

    @rule(ms=st.sampled_from((1, 1000, 1000, 5000, -700)))
    def advance(self, ms: int) -> None:
        """Time passes, and timers that are due then are handled; or the clock goes back."""
        self.model.now += ms
        self.latest = max(self.latest, self.model.now)
        self.store.now = str(self.model.now)
        while self.run(self.store.reap(100)).wait_ms == 0:
            pass
        self.model.reap(self.new_ids())

    @rule()
    def move(self) -> None:
        """All jobs are exported, and restored in another store."""
        old, self.store = self.store, self.opened(self.model.now)

        async def move() -> None:
            for piece in [piece async for piece in old.transfer.export()]:
                assert not piece.damaged
                lines = [read_line(line) for line in (piece.group, *piece.jobs) if line]
                groups, jobs = [line.group for line in lines if line.group], [line.job for line in lines if line.job]
                await self.store.transfer.restore(self.store.partitions[0], groups, jobs)

        self.run(move())
        self.model.move()

    def new_ids(self) -> dict[str, str]:
        """By old id, the jobs of the store that are new to us."""
        new = [job for job in self.kept().values() if job.id not in self.seen]
        self.seen += [job.id for job in new]
        return {str(job.retry_of): job.id for job in new}

    def kept(self) -> dict[str, Job]:
        pages: Sequence[Any] = [self.run(self.store.list(group, 1000))[0] for group in GROUPS]
        return {job.id: job for page in pages for job in page}

    def pick(self, place: int, *statuses: str) -> Any:
        jobs = [job for job in self.model.jobs.values() if job.status in statuses]
        return jobs[place % len(jobs)] if jobs else None

    def agree(self, work: Coroutine[Any, Any, Any], expected: Callable[[], None]) -> Any:
        """The store's answer; None when it refuses with the word that the model refuses with."""
        refused = _refused(expected)
        try:
            answer = self.run(work)
        except TitanError as refusal:
            answer = refusal
        assert (answer.word if isinstance(answer, TitanError) else "") == refused
        return None if refused else answer

    @invariant()
    def agrees(self) -> None:
        """Jobs, for how many others each waits, and the holders of the keys are the model's."""
        told = {
            job.id: ("held" if job.waits_for else job.status, job.waits_for.jobs if job.waits_for else 0)
            for job in self.kept().values()
        }
        assert told == {job.id: (job.status, job.waits_for) for job in self.model.jobs.values()}
        for group in GROUPS:
            for key in KEYS:
                held = self.model.held(group, key)
                assert self.holder(group, key) == ((held.holder, held.follower) if held else None)

    def holder(self, group: str, key: str) -> tuple[str, str] | None:
        try:
            held = self.run(self.store.unique_keys.show(group, key))
        except NotFound:
            return None
        return held.holder, held.follower if isinstance(held.follower, str) else ""

    @invariant()
    def is_sound(self) -> None:
        """`titan check` finds nothing."""
        self.store.now = str(self.latest)
        for group in GROUPS:
            ids = [job.id for job in self.model.jobs.values() if job.group == group]
            for some in (ids, []):
                assert self.run(self.store.check(group, some, is_repair=False)) == []
        self.store.now = str(self.model.now)


def _refused(expected: Callable[[], None]) -> str:
    """The word that the model refuses with, or ''."""
    try:
        expected()
    except Refused as refusal:
        return str(refusal)
    return ""


def machine(url: str) -> type[TiesMachine]:
    """On the server at this URL."""

    class OnServer(TiesMachine):
        def connect(self) -> Redis:
            return connect(url, 5, 2)

    return OnServer


MUTANTS = {
    "a dependant waits for one job less": ("admit", "true, waits + 1\n      members", "true, waits\n      members"),
    "any end is enough": ("settle", "parent.status ~= 'succeeded' and not is_any_end", "false"),
    "a job waits for itself": ("wait", "if circle then return circle end", ""),
    "a retry by hand takes any key": ("retry", "if holder_id and holder_id ~= id then", "if false then"),
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MUTANTS)
def test_model_of_ties_finds_a_broken_script(name: str, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script without one of its guards does not agree with the model."""
    verb, right, wrong = MUTANTS[name]
    script = SCRIPTS[verb]
    assert right in script.plain
    monkeypatch.setitem(SCRIPTS, verb, script._replace(plain=script.plain.replace(right, wrong)))
    search = settings(SEARCH, max_examples=100, stateful_step_count=50, phases=[Phase.generate], derandomize=True)
    with pytest.raises((AssertionError, TitanError, KeyError)):
        run_state_machine_as_test(_quick(valkey_url), settings=search)


def _quick(url: str) -> type[TiesMachine]:
    """Leaves out `titan check` after each call: what is broken differs from the model, and is found much sooner."""

    class Quick(machine(url)):  # type: ignore[misc]
        def is_sound(self) -> None:
            """Not looked at."""

    return Quick


def test_flows_and_keys_agree_with_their_model(valkey_url: str) -> None:
    """Whatever is called in whatever order; in the end no job waits that nobody would release."""
    found = machine(valkey_url)
    run_state_machine_as_test(found, settings=settings(SEARCH, max_examples=25, stateful_step_count=50))
    assert issubclass(found, TiesMachine)
