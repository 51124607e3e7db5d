"""`succeed` and `fail`: what a finished job shows, and what becomes of a second report."""

from collections.abc import Awaitable, Callable

import pytest

from broker.core.errors import NotFound, WrongState
from broker.diagnostics.consistency import check
from broker.models.jobs import Job
from broker.models.reports import Finish
from broker.resp import keys
from tests.contract.building import (
    GROUP,
    LARGE_SPEC,
    Run,
    clock,
    configure,
    dump,
    lose,
    members_key,
    now_ms,
    reap_after,
    running,
    running_many,
    shown,
    started,
    wait,
)
from tests.stores import Store

Finishing = Callable[[Store, str, str], Awaitable[Job]]

FINISHING: dict[str, Finishing] = {
    "succeed": lambda store, job_id, lease: store.succeed(GROUP, job_id, lease),
    "fail": lambda store, job_id, lease: store.fail(GROUP, job_id, lease, "bad_exit", "exit 1"),
}


async def running_shortly(store: Store) -> Job:
    return await running(store, lease_s=5)


each_verb = pytest.mark.parametrize("finish", FINISHING.values(), ids=FINISHING)


async def assert_refused(store: Store, finishing: Awaitable[Job]) -> None:
    before = await dump(store)
    with pytest.raises(WrongState):
        await finishing
    assert await dump(store) == before


async def test_succeed(store: Store) -> None:
    """A succeeded job has its times and no reason, and nobody holds it."""
    job = await running(store)
    wait(store, 7)
    job = await store.succeed(GROUP, job.id, job.lease)
    assert (job.status, job.started_at, job.completed_at) == ("succeeded", job.started_at, clock(store))
    assert shown(job, "reason", "error", "expires_at", "lease") == []


async def test_fail(store: Store) -> None:
    """A failed job keeps the reason and the text as they were given."""
    job = await running(store)
    wait(store, 7)
    job = await store.fail(GROUP, job.id, job.lease, "löst in the post", 'exit 1\n"why"')
    assert (job.status, job.completed_at) == ("failed", clock(store))
    assert (job.reason, job.error) == ("löst in the post", 'exit 1\n"why"')


@each_verb
@pytest.mark.parametrize("bring", [running_shortly, started])
async def test_finish_leaves_nothing_of_the_run(
    store: Store, finish: Finishing, bring: Callable[[Store], Awaitable[Job]]
) -> None:
    """P:job:<id> has what the report says, and nothing of the delivery."""
    job = await bring(store)
    await finish(store, job.id, job.lease or "")
    kept = set(await store.redis.hkeys(keys.job(store.partitions[0], job.id)))
    assert kept <= {b"reason", b"error"}


async def test_finish_many_answers_one_each(store: Store) -> None:
    """A report and its repeat in one call are both taken."""
    job = await running(store)
    report = Finish(group_name=GROUP, id=job.id, status="succeeded", lease=job.lease)
    assert await store.finish([report] * 2) == [None, None]


async def test_fail_without_a_reason(store: Store) -> None:
    """A reason need not be given; none is made up."""
    job = await running(store)
    job = await store.fail(GROUP, job.id, job.lease)
    assert shown(job, "reason", "error") == []
    assert not {b"reason", b"error"} & set(await store.redis.hkeys(keys.job(store.partitions[0], job.id)))


@each_verb
@pytest.mark.parametrize("has_lease", [True, False])
async def test_finish_again(store: Store, finish: Finishing, has_lease: bool) -> None:
    """The same report of the same holder, sent again after a lost answer, gets the same job and changes nothing."""
    job = await running(store, max_retries=1)
    lease = str(job.lease) if has_lease else ""
    first = await finish(store, job.id, lease)
    before = await dump(store)
    wait(store, 5)
    assert await finish(store, job.id, lease) == first
    assert await dump(store) == before


async def test_finish_again_with_other_words(store: Store) -> None:
    """What a repeat says of reason and time does not replace what the first said."""
    job = await running(store)
    first = await store.fail(GROUP, job.id, job.lease, "bad_exit", "exit 1")
    assert await store.fail(GROUP, job.id, job.lease, "killed", "exit 2", 1) == first


async def test_finish_again_where_a_lease_is_required(store: Store) -> None:
    """A repeat with the token is one also where every report needs it; without it the report is refused."""
    await configure(store, require_lease=True)
    job = await running(store)
    first = await store.succeed(GROUP, job.id, job.lease)
    assert await store.succeed(GROUP, job.id, job.lease) == first
    await assert_refused(store, store.succeed(GROUP, job.id))


@each_verb
@pytest.mark.parametrize("first", FINISHING.values(), ids=[f"after-{verb}" for verb in FINISHING])
@pytest.mark.parametrize(("lease", "again"), [("own", ""), ("", "own"), ("own", "another"), ("", "another")])
async def test_finish_again_by_another(
    store: Store, first: Finishing, finish: Finishing, lease: str, again: str
) -> None:
    """A report with another token, or with one where the first had none, is refused."""
    job = await running(store)
    tokens = {"own": str(job.lease), "": "", "another": "another"}
    await first(store, job.id, tokens[lease])
    await assert_refused(store, finish(store, job.id, tokens[again]))


@pytest.mark.parametrize("has_lease", [True, False])
@pytest.mark.parametrize("first", FINISHING)
async def test_finish_the_other_way(store: Store, first: str, has_lease: bool) -> None:
    """A finished job does not change its status at any request."""
    [second] = FINISHING.keys() - {first}
    job = await running(store)
    lease = str(job.lease) if has_lease else ""
    await FINISHING[first](store, job.id, lease)
    await assert_refused(store, FINISHING[second](store, job.id, lease))


@each_verb
@pytest.mark.parametrize("has_lease", [True, False])
async def test_finish_after_the_reaper_failed_the_job(store: Store, finish: Finishing, has_lease: bool) -> None:
    """A job that the reaper failed was finished by nobody: no report is a repeat of it."""
    await configure(store, delivery_limit=1)
    job = await running(store)
    await reap_after(store, 60)
    await assert_refused(store, finish(store, job.id, str(job.lease) if has_lease else ""))


@each_verb
async def test_finish_again_of_a_retried_job(store: Store, finish: Finishing) -> None:
    """A repeat after a retry by hand shows the retry, and makes no second one."""
    job = await running(store)
    await finish(store, job.id, str(job.lease))
    retry = await store.retry(GROUP, job.id)
    assert (await finish(store, job.id, str(job.lease))).retry_at == retry.id
    assert (await store.groups.show(GROUP)).counts.queued == 1


async def test_finish_beside_a_repeat(store: Store) -> None:
    """A repeated report changes nothing for another job's first report in the same call."""
    first, second = await running(store), await running(store)
    reports = [Finish(group_name=GROUP, id=job.id, status="succeeded", lease=job.lease) for job in (first, second)]
    assert await store.finish(reports[:1]) == [None]
    assert await store.finish(reports) == [None, None]
    assert (await store.groups.show(GROUP)).counts.succeeded == 2


@each_verb
async def test_finish_a_large_job_without_its_spec(store: Store, finish: Finishing) -> None:
    """A large job of which its own hash is lost is not found."""
    job = await running(store, payload="x" * LARGE_SPEC)
    await store.redis.delete(keys.job(store.partitions[0], job.id))
    with pytest.raises(NotFound):
        await finish(store, job.id, str(job.lease))
    await check(store, is_repair=True)


@each_verb
async def test_finish_what_is_left_of_a_job(store: Store, finish: Finishing) -> None:
    """A job of which only its run is left is not found, and in nobody's way any more."""
    job = await running(store, max_retries=1)
    await lose(store, job)
    with pytest.raises(NotFound):
        await finish(store, job.id, str(job.lease))
    assert not await store.redis.exists(keys.job(store.partitions[0], job.id), members_key(store, GROUP, "running"))
    await check(store, is_repair=True)


async def test_finish_what_is_left_of_a_job_at_a_time(store: Store) -> None:
    """The same where its consumer says when it ended."""
    job = await running(store)
    await lose(store, job)
    with pytest.raises(NotFound):
        await store.succeed(GROUP, job.id, str(job.lease), now_ms(store) - 1)
    await check(store, is_repair=True)


@pytest.mark.parametrize(("n", "step"), [(1, 1), (16, 1), (17, 2), (32, 2), (33, 3)])
async def test_finish_replies_with_a_sample(store: Store, run: Run, n: int, step: int) -> None:
    """Of 16 jobs the reply has every execution, of more every second or third one."""
    jobs = await running_many(store, n)
    words = [word for job in jobs for word in (job.id, job.lease)]
    items = await run("finish", now_ms(store), "", GROUP, "succeeded", n, 2, *words)
    assert [isinstance(item, list) for item in items] == [number % step == 0 for number in range(n)]
    assert [item for item in items if not isinstance(item, list)] == [1] * (n - len(range(0, n, step)))


async def test_finish_again_says_so(store: Store, run: Run) -> None:
    """With jobs in the reply that of a repeat ends with 1, and that of the first report does not."""
    job = await running(store)
    words = (now_ms(store), "job", GROUP, "succeeded", 1, 2, job.id, job.lease)
    [[*_, first]], [[*_, again]] = [await run("finish", *words) for _ in range(2)]
    assert (first, again) == (None, 1)


@pytest.mark.parametrize(("max_retries", "sampled", "other"), [(1, [1], 2), (0, [], 1)])
async def test_finish_says_whether_it_is_retried(
    store: Store, run: Run, max_retries: int, sampled: list[int], other: int
) -> None:
    """A job that is retried has 1 behind its execution in the sample, and is 2 outside of it."""
    jobs = await running_many(store, 17, max_retries=max_retries)
    words = [word for i, job in enumerate(jobs) for word in (job.id, job.lease, "", "", "", f"{i:016}")]
    [[_, *first], second, *_] = await run("finish", now_ms(store), "", GROUP, "failed", 17, 6, *words)
    assert (first, second) == (sampled, other)
