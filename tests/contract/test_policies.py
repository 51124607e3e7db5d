"""Retry policies: the same job is tried again, when its policy says, and as often as it says."""

import re
import statistics
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from broker.core.errors import LeaseLost, TitanError, WrongState
from broker.diagnostics.consistency import check
from broker.models.jobs import Job, NewJob, NewJobs
from broker.models.reports import Finish
from broker.models.retries import Retry
from broker.models.workers import Receipt
from broker.resp import keys
from broker.resp.script_source import LIB
from tests.contract.building import (
    GROUP,
    clock,
    configure,
    dump,
    members_key,
    now_ms,
    reap_after,
    running,
    shown,
    status_of,
    wait,
)
from tests.stores import Store

STEADY: dict[str, Any] = {"jitter": 0, "delay": 10}
"""A policy without chance."""
YEAR_S = 31_536_000
PAGES = Path(__file__).parents[2] / "broker" / "docs"


def policy(**fields: Any) -> Retry:
    return Retry(**{**STEADY, **fields})


async def run_with(store: Store, retry: Retry | None = None, **fields: Any) -> Job:
    """A job with this policy that `next` delivered."""
    return await running(store, retry=retry or policy(), **fields)


async def fail(store: Store, job: Job, reason: str = "bad_exit", **more: Any) -> Job:
    """Fail the delivery that the job has."""
    return await store.fail(GROUP, job.id, job.lease or "", reason, **more)


async def take_again(store: Store, job: Job) -> Job:
    """Let the wait of the job pass, and deliver it again."""
    due = await due_ms(store, job)
    await reap_after(store, (due - now_ms(store)) / 1000)
    [again] = await store.next(1, [GROUP])
    assert again.id == job.id
    return again


async def due_ms(store: Store, job: Job) -> int:
    """When the job is tried again."""
    return int(await store.redis.zscore(members_key(store, GROUP, "delayed"), job.id))


async def wait_ms(store: Store, job: Job) -> int:
    return await due_ms(store, job) - now_ms(store)


async def waits_of(store: Store, retry: Retry, failures: int, **more: Any) -> list[int]:
    """The waits after this many failures of one job, ms."""
    job = await run_with(store, retry)
    waits = []
    for _ in range(failures):
        await fail(store, job, **more)
        waits.append(await wait_ms(store, job))
        job = await take_again(store, job)
    return waits


async def test_a_forgiven_failure(store: Store) -> None:
    """The job is delayed, under its own id, and says how often it failed, and why."""
    job, started = await run_with(store), now_ms(store)
    wait(store, 3)
    failed = await fail(store, job, "no_such_host", error="line 1\nline 2")
    assert (
        f'"started_at":{started},'
        in (await store.redis.hget(keys.job(store.partitions[0], job.id), "history")).decode()
    )
    assert failed == await store.show(GROUP, job.id)
    assert (failed.id, failed.status, failed.attempts, failed.deliveries) == (job.id, "delayed", 1, 1)
    assert (failed.reason, failed.error) == ("no_such_host", "line 1\nline 2")
    assert shown(failed, "started_at", "completed_at", "expires_at", "dead_at", "retry_at", "lease") == []
    assert await wait_ms(store, job) == 10_000
    assert await check(store) == []


async def test_the_next_try(store: Store) -> None:
    """After the wait the job joins the end of its priority, and is delivered once more."""
    job = await run_with(store)
    await fail(store, job)
    await store.enqueue(GROUP, [NewJob(image="x", payload="later")])
    await reap_after(store, 9.999)
    assert await status_of(store, job) == "delayed"
    await reap_after(store, 0.001)
    taken = await store.next(2, [GROUP])
    assert [one.payload for one in taken] == ["later", UNSET]
    assert (taken[1].id, taken[1].deliveries) == (job.id, 2)
    ended = await store.succeed(GROUP, job.id, taken[1].lease)
    assert ended == await store.show(GROUP, job.id)
    assert (ended.status, ended.attempts, ended.deliveries) == ("succeeded", 1, 2)


async def test_the_last_failure(store: Store) -> None:
    """A job is forgiven `max` failures; with the next one it fails for good, and `dead_at` is when."""
    job = await run_with(store, policy(max=2))
    for attempts in (1, 2):
        assert (await fail(store, job)).attempts == attempts
        job = await take_again(store, job)
    dead = await fail(store, job)
    assert dead == await store.show(GROUP, job.id)
    assert (dead.status, dead.attempts, dead.dead_at, dead.completed_at) == ("failed", 3, clock(store), clock(store))
    assert not dead.retry_at
    assert await check(store) == []


async def test_a_failure_without_a_reason(store: Store) -> None:
    """A later failure shows neither the reason nor the error of an earlier one, and an empty one is none."""
    job = await run_with(store, policy(max=3))
    await fail(store, job, "busy", error="text")
    for reason, error, kept in (("busy", "", [b"busy", None]), ("", "text", [None, b"text"]), ("", "", [None, None])):
        await fail(store, await take_again(store, job), reason, error=error)
        assert await store.redis.hmget(keys.job(store.partitions[0], job.id), "reason", "error") == kept


async def test_the_defaults_of_a_policy_need_no_room(store: Store) -> None:
    """Also where the request names them: the scripts know them."""
    given = msgspec.json.decode(
        b'{"max":3,"backoff":"exponential","factor":2,"delay":10,"cap":3600,"jitter":20,"max_age":null}', type=Retry
    )
    for retry in (Retry(max=3), given):
        job = await run_with(store, retry)
        record = await store.redis.hget(keys.jobs(store.partitions[0]), job.id)
        assert record.startswith(b'{"retry_max":3} ')
        assert (await store.show(GROUP, job.id)).retry == msgspec.structs.replace(given, max_age=UNSET)


async def test_max_0(store: Store) -> None:
    """With `max` 0 no failure is forgiven."""
    assert (await fail(store, await run_with(store, policy(max=0)))).status == "failed"


async def test_failure_of_a_job_without_a_policy(store: Store) -> None:
    """A job without a policy has none of its fields."""
    failed = await fail(store, await running(store))
    assert failed.status == "failed"
    assert shown(failed, "attempts", "dead_at", "retry") == []


async def test_the_policy_is_shown_with_its_defaults(store: Store) -> None:
    """A job has its policy as it was given, and the defaults of the rest, in every answer."""
    whole = Retry(max=3, except_=("bad_input", "auth_*"), max_age=86_400)
    [job] = (await store.enqueue(GROUP, [NewJob(image="x", retry=whole)])).jobs
    assert job.retry == whole
    [taken] = await store.next(1, [GROUP])
    assert taken.retry == whole
    assert (await fail(store, taken)).retry == whole
    assert (await store.show(GROUP, job.id)).retry == whole


@pytest.mark.parametrize(
    ("retry", "waits"),
    [
        (policy(backoff="constant"), [10, 10, 10]),
        (policy(backoff="linear"), [10, 20, 30]),
        (policy(), [10, 20, 40, 80]),
        (policy(factor=1.5), [10, 15, 22.5]),
        (policy(cap=35), [10, 20, 35, 35]),
        (policy(cap=5), [5, 5]),
        (policy(delay=0), [0, 0]),
        (policy(delay=3599, backoff="linear"), [3599, 3600]),
    ],
)
async def test_backoff(store: Store, retry: Retry, waits: list[float]) -> None:
    """Each kind of backoff has its waits; the cap ends their growth."""
    assert await waits_of(store, retry, len(waits)) == [seconds * 1000 for seconds in waits]


async def test_d1_jobs_that_fail_together_come_back_apart(store: Store) -> None:
    """Trap D1, the herd: jobs that fail at the same moment are spread evenly over the whole jitter."""
    waits = await _waits_of_many(store, Retry(delay=10, jitter=20))
    assert 8000 <= min(waits) < 8200
    assert 11_800 < max(waits) <= 12_000
    quarters = [sum(low <= each < low + 1000 for each in waits) for low in (8000, 9000, 10_000, 11_000)]
    assert min(quarters) > 0.8 * len(waits) / 4


async def test_d2_there_is_jitter_at_the_cap(store: Store) -> None:
    """Trap D2: jobs that all wait for the cap are spread as well."""
    waits = await _waits_of_many(store, Retry(delay=YEAR_S, cap=10, jitter=20))
    assert min(waits) < 8200
    assert max(waits) > 11_800


async def _waits_of_many(store: Store, retry: Retry, n: int = 200) -> list[int]:
    await store.enqueue(GROUP, [NewJob(image="x", retry=retry)] * n)
    jobs = await store.next(n, [GROUP])
    await store.finish([Finish(group_name=GROUP, id=job.id, status="failed", lease=job.lease) for job in jobs])
    return [await wait_ms(store, job) for job in jobs]


async def test_the_jitter_of_a_job_differs_from_try_to_try(store: Store) -> None:
    """A job that was early once is not early each time; the same try of the same job always has the same wait."""
    waits = await waits_of(store, Retry(max=40, backoff="constant", delay=100, jitter=100), 40)
    assert len(set(waits)) == 40
    assert 70_000 < statistics.mean(waits) < 130_000


async def test_jitter_is_even(store: Store) -> None:
    """The hash behind the jitter is spread evenly over ids that differ in their last letters, and over attempts."""
    part = (LIB / "retry_policy.lua").read_text("utf-8")
    begin, end = part.index("local FACTOR"), part.index("-- How long a job waits")
    text = "local byte = string.byte\n" + part[begin : part.index("\n", begin) + 1]
    text += part[part.index("local function jitter_of") : end]
    text += "local n = {}\nfor i = 1, 10 do n[i] = 0 end\nlocal last\nfor i = 1, 10000 do\n"
    text += "  local at = jitter_of(string.format('VbpLuuIC3BdK%04d', i), i % 7)\n"
    text += "  local tenth = math.floor((at + 1) * 5) + 1\n  n[tenth] = n[tenth] + 1\nend\nreturn n"
    tenths = await store.redis.eval(text, 0)
    assert sum(tenths) == 10_000
    assert min(tenths) > 900
    assert max(tenths) < 1100


async def test_d3_the_largest_numbers_do_not_overflow(store: Store) -> None:
    """Trap D3: with the largest delay, factor and number of failures each wait is the cap."""
    waits = await waits_of(store, policy(max=100, delay=YEAR_S, factor=10, cap=7), 100)
    assert waits == [7000] * 100


async def test_d4_max_age_ends_it_though_attempts_are_left(store: Store) -> None:
    """Trap D4: attempts or age, whichever is through first. No try begins later than `max_age` after the creation."""
    job = await run_with(store, policy(max=100, max_age=35))
    assert (await fail(store, job)).status == "delayed"  # after 10 s
    job = await take_again(store, job)
    assert (await fail(store, job)).status == "delayed"  # after 30 s
    job = await take_again(store, job)
    dead = await fail(store, job)  # would be after 70 s
    assert (dead.status, dead.attempts) == ("failed", 3)


async def test_d4_attempts_end_it_though_time_is_left(store: Store) -> None:
    """Trap D4, the other way round."""
    job = await run_with(store, policy(max=1, max_age=YEAR_S))
    await fail(store, job)
    assert (await fail(store, await take_again(store, job))).status == "failed"


async def test_a_try_at_the_last_moment_of_max_age(store: Store) -> None:
    """A try that begins exactly at that time is made."""
    assert (await fail(store, await run_with(store, policy(max_age=10)))).status == "delayed"
    assert (await fail(store, await run_with(store, policy(max_age=9)))).status == "failed"
    job = await run_with(store, policy(max_age=10))
    wait(store, 0.001)
    assert (await fail(store, job)).status == "failed"


@pytest.mark.parametrize(("delay", "status"), [(9, "delayed"), (10, "failed")])
async def test_no_try_begins_at_the_end_of_a_job(store: Store, delay: int, status: str) -> None:
    """A try that would begin when `end_within` has passed is not made."""
    job = await run_with(store, policy(delay=delay), end_within=10)
    assert (await fail(store, job)).status == status


async def test_d5_a_release_burns_no_attempt(store: Store) -> None:
    """Trap D5: a worker that is deployed releases its jobs, and that is no failure, however often it happens."""
    job = await run_with(store, policy(max=1))
    for _ in range(7):
        released = await store.release(GROUP, job.id, job.lease or "")
        assert not released.attempts
        [job] = await store.next(1, [GROUP])
    assert (await fail(store, job)).status == "delayed"


async def test_d6_a_job_that_is_retried_by_hand_has_its_whole_time_again(store: Store) -> None:
    """Trap D6: the new job has the policy of the old one; attempts and age begin with it."""
    given = policy(max=1, max_age=30, except_=("bad_input", "auth_*"), only=("bad_*",))
    job = await run_with(store, given, priority=1)
    wait(store, 100)
    assert (await fail(store, job)).status == "failed"
    new = await store.retry(GROUP, job.id)
    assert (new.retry, new.priority, new.retry_of) == (given, 1, job.id)
    [again] = await store.next(1, [GROUP])
    again = await fail(store, again)
    assert (again.id, again.status, again.attempts) == (new.id, "delayed", 1)
    assert await check(store) == []


@pytest.mark.parametrize(
    ("fields", "reason", "status"),
    [
        ({"except_": ("bad_input", "auth_*")}, "bad_input", "failed"),
        ({"except_": ("bad_input", "auth_*")}, "auth_expired", "failed"),
        ({"except_": ("bad_input", "auth_*")}, "auth_", "failed"),
        ({"except_": ("bad_input", "auth_*")}, "auth", "delayed"),
        ({"except_": ("bad_input", "auth_*")}, "bad_input_", "delayed"),
        ({"except_": ("bad_input", "auth_*")}, "bad", "delayed"),
        ({"except_": ("bad_input", "auth_*")}, "", "delayed"),
        ({"except_": ("a.c",)}, "abc", "delayed"),
        ({"only": ("busy", "http_5*")}, "http_503", "delayed"),
        ({"only": ("busy", "http_5*")}, "busy", "delayed"),
        ({"only": ("busy", "http_5*")}, "http_404", "failed"),
        ({"only": ("busy",)}, "", "failed"),
        ({"only": ("http_*",), "except_": ("http_404",)}, "http_404", "failed"),
        ({"only": ("http_*",), "except_": ("http_404",)}, "http_500", "delayed"),
    ],
)
async def test_reasons(store: Store, fields: dict[str, Any], reason: str, status: str) -> None:
    """A reason in `except`, or not in `only`, fails the job at once; a star stands for the rest of a reason."""
    failed = await fail(store, await run_with(store, policy(**fields)), reason)
    assert (failed.status, failed.attempts) == (status, 1)


async def test_a_report_that_wants_no_retry(store: Store) -> None:
    """With `retry` false the job fails for good, by a policy and with max_retries alike."""
    assert (await fail(store, await run_with(store), retry=False)).status == "failed"
    failed = await fail(store, await running(store, max_retries=3), retry=False)
    assert (failed.status, bool(failed.retry_at)) == ("failed", False)


async def test_retry_after(store: Store) -> None:
    """The report says how long to wait, without jitter; the cap holds, and so does max_age."""
    wanted = {"delay": 500, "jitter": 50, "cap": 60}
    job = await run_with(store, Retry(**wanted))
    await fail(store, job, "", retry_after=7)
    assert await wait_ms(store, job) == 7000
    job = await take_again(store, job)
    await fail(store, job, retry_after=61)
    assert await wait_ms(store, job) == 60_000
    job = await run_with(store, Retry(**wanted, max_age=20))
    assert (await fail(store, job, retry_after=21)).status == "failed"
    job = await run_with(store, Retry(**wanted))
    await fail(store, job, retry_after=0)
    assert await wait_ms(store, job) == 0


async def test_retry_after_of_a_job_without_a_policy(store: Store) -> None:
    """It changes nothing, and neither does it lose the receipt."""
    failed = await fail(store, await running(store), retry_after=7, receipt=Receipt(worker="w"))
    assert failed.status == "failed"
    assert [one.worker for one in (await store.show(GROUP, failed.id)).receipts or []] == ["w"]


@pytest.mark.parametrize("has_lease", [True, False])
async def test_a_repeated_report(store: Store, *, has_lease: bool) -> None:
    """The report that was answered and is sent again gets the same answer and changes nothing."""
    job = await run_with(store)
    lease = job.lease if has_lease else ""
    first = await store.fail(GROUP, job.id, lease or "", "busy", "text")
    before = await dump(store)
    wait(store, 5)
    assert await store.fail(GROUP, job.id, lease or "", "busy", "text") == first
    again = Finish(group_name=GROUP, id=job.id, status="failed", lease=lease or None)
    assert await store.finish([again]) == [None]
    assert await dump(store) == before


@pytest.mark.parametrize("lease", ["another", ""])
async def test_a_report_of_another(store: Store, lease: str) -> None:
    """Who did not report the failure is refused while the job waits, and so is another report of the same holder."""
    job = await run_with(store)
    await fail(store, job)
    before = await dump(store)
    with pytest.raises(WrongState):
        await store.fail(GROUP, job.id, lease)
    with pytest.raises(WrongState):
        await store.succeed(GROUP, job.id, job.lease or "")
    assert await dump(store) == before


async def test_a_repeat_while_the_job_runs_again(store: Store) -> None:
    """A late repeat finds the job as it is, and ends no new delivery; a success by the old holder is refused."""
    job = await run_with(store)
    await fail(store, job)
    again = await take_again(store, job)
    before = await dump(store)
    repeated = await fail(store, job)
    assert (repeated.status, repeated.deliveries, repeated.attempts) == ("running", 2, 1)
    with pytest.raises(LeaseLost):
        await store.succeed(GROUP, job.id, job.lease or "")
    assert await dump(store) == before
    await store.succeed(GROUP, job.id, again.lease or "")
    assert (await fail(store, job)).status == "succeeded"


async def test_many_reports_in_one_call(store: Store) -> None:
    """Failures under a policy, failures for good and successes share a call, each with its own outcome."""
    await store.enqueue(GROUP, [NewJob(image="x", retry=policy()), NewJob(image="x"), NewJob(image="x", max_retries=1)])
    jobs = await store.next(3, [GROUP])
    reports = [Finish(group_name=GROUP, id=job.id, status="failed", lease=job.lease) for job in jobs]
    outcomes = await store.finish([*reports, reports[0]])
    assert not any(isinstance(one, TitanError) for one in outcomes)
    assert [await status_of(store, job) for job in jobs] == ["delayed", "failed", "failed"]
    assert await check(store) == []


async def test_the_reason_of_the_last_failure(store: Store) -> None:
    """A failure without a reason or a text leaves nothing of the one before."""
    job = await run_with(store)
    await fail(store, job, "busy", error="text")
    failed = await fail(store, await take_again(store, job), "")
    assert shown(failed, "reason", "error") == []


async def test_a_failure_without_a_receipt_has_none_in_the_history(store: Store) -> None:
    """The receipt of an earlier failure stays with that one."""
    job = await run_with(store, policy(max=3))
    await fail(store, job, receipt=Receipt(worker="w"))
    await fail(store, await take_again(store, job))
    events = (await store.jobs.history(GROUP, job.id)).events
    assert [one.receipt.worker if one.receipt else "" for one in events if one.what == "failed"] == ["w", ""]


async def test_receipts_and_history(store: Store) -> None:
    """Each forgiven failure has its receipt, and a line in the history with its reason, and when the run began."""
    job, taken_at = await run_with(store), []
    for number in (1, 2):
        taken_at.append(clock(store))
        wait(store, 1)
        await fail(store, job, f"reason_{number}", receipt=Receipt(worker=f"worker-{number}"))
        job = await take_again(store, job)
    await store.fail(GROUP, job.id, job.lease or "", "last", retry=False, receipt=Receipt(worker="worker-3"))
    history = await store.jobs.history(GROUP, job.id)
    told = [(one.what, one.delivery, one.reason, one.receipt.worker if one.receipt else "") for one in history.events]
    assert told == [
        ("created", 0, "", ""),
        ("taken", 1, "", ""),
        ("failed", 1, "reason_1", "worker-1"),
        ("taken", 2, "", ""),
        ("failed", 2, "reason_2", "worker-2"),
        ("taken", 3, "", ""),
        ("failed", 3, "last", "worker-3"),
    ]
    assert [one.to for one in history.events if one.what == "failed"] == ["delayed", "delayed", "failed"]
    assert [one.at for one in history.events if one.what == "taken"][:2] == taken_at
    assert history.is_whole


async def test_a_lost_lease_is_a_failure_in_the_end(store: Store) -> None:
    """A lease that is lost for the last time is a failure with the reason `timeout`, which a policy forgives."""
    await configure(store, delivery_limit=2)
    job = await run_with(store, policy(max=1))
    await reap_after(store, 60)
    assert await status_of(store, job) == "queued"
    await store.next(1, [GROUP])
    await reap_after(store, 60)
    waiting = await store.show(GROUP, job.id)
    assert (waiting.status, waiting.attempts, waiting.reason) == ("delayed", 1, "timeout")
    assert await wait_ms(store, job) == 10_000
    assert [one.what for one in (await store.jobs.history(GROUP, job.id)).events].count("lease_lost") == 2
    assert await check(store) == []


async def test_delivery_limit_counts_lost_deliveries(store: Store) -> None:
    """A job that failed three times has lost nothing: a lost lease brings it back as if it were new."""
    await configure(store, delivery_limit=2)
    job = await run_with(store, policy(max=5))
    for _ in range(3):
        await fail(store, job)
        job = await take_again(store, job)
    await reap_after(store, 60)
    assert await status_of(store, job) == "queued"
    await store.next(1, [GROUP])
    await reap_after(store, 60)
    assert (await store.show(GROUP, job.id)).attempts == 4


@pytest.mark.parametrize(
    ("fields", "status"), [({"except_": ("timeout",)}, "failed"), ({"only": ("timeout",)}, "delayed")]
)
async def test_a_lost_lease_is_judged_like_any_failure(store: Store, fields: dict[str, Any], status: str) -> None:
    """`except` and `only` hold for the reason `timeout` too."""
    await configure(store, delivery_limit=1)
    job = await run_with(store, policy(**fields))
    await reap_after(store, 60)
    ended = await store.show(GROUP, job.id)
    assert (ended.status, ended.reason, ended.attempts) == (status, "timeout", 1)
    assert bool(ended.dead_at) == (status == "failed")
    assert shown(ended, "error") == []


async def test_the_end_of_a_run_is_a_failure(store: Store) -> None:
    """A run that its timeout ends, with a short lease, is forgiven as well."""
    job = await running(store, lease_s=1, timeout=1, retry=policy())
    await reap_after(store, 20)
    assert (await store.show(GROUP, job.id)).status == "delayed"


async def test_a_late_report_of_a_lost_lease(store: Store) -> None:
    """Who lost the lease for the last time is refused."""
    await configure(store, delivery_limit=1)
    job = await run_with(store)
    await reap_after(store, 60)
    for lease in (str(job.lease), "*", ""):
        with pytest.raises(WrongState):
            await store.fail(GROUP, job.id, lease)


async def test_the_policy_of_the_group(store: Store) -> None:
    """Jobs without a policy and without max_retries have that of the group, as it is when they fail."""
    job = await running(store)
    await configure(store, retry=policy(max=1, backoff="constant", delay=33))
    assert (await store.groups.show(GROUP)).retry == policy(max=1, backoff="constant", delay=33)
    failed = await fail(store, job)
    assert (failed.status, failed.attempts, failed.retry) == ("delayed", 1, UNSET)
    assert await wait_ms(store, job) == 33_000
    dead = await fail(store, await take_again(store, job))
    assert (dead.status, dead.dead_at) == ("failed", clock(store))


async def test_jobs_with_their_own_retries_in_a_group_with_a_policy(store: Store) -> None:
    """A job's own policy goes before the group's, and max_retries makes a new job as ever."""
    await configure(store, retry=policy(delay=33))
    job = await run_with(store)
    await fail(store, job)
    assert await wait_ms(store, job) == 10_000
    failed = await fail(store, await running(store, max_retries=1))
    assert failed.status == "failed"
    assert failed.retry_at
    assert shown(failed, "attempts", "dead_at") == []


async def test_the_policy_of_the_group_at_a_lost_lease(store: Store) -> None:
    """A lost lease is judged by it too; without the policy the job fails."""
    await configure(store, delivery_limit=1, retry=policy())
    job = await running(store)
    await reap_after(store, 60)
    assert await status_of(store, job) == "delayed"
    await configure(store, delivery_limit=1)
    await take_again(store, job)
    await reap_after(store, 60)
    ended = await store.show(GROUP, job.id)
    assert (ended.status, ended.reason, ended.attempts) == ("failed", "timeout", 1)


async def test_a_full_group_has_room_again(store: Store) -> None:
    """While a job waits for its next try another one may run."""
    await configure(store, max_concurrency=1)
    job = await run_with(store)
    await store.enqueue(GROUP, [NewJob(image="x")])
    assert await store.next(1, [GROUP]) == []
    await fail(store, job)
    assert len(await store.next(1, [GROUP])) == 1
    assert await check(store) == []


async def test_cancel_and_promote_a_job_that_waits(store: Store) -> None:
    """It is cancelled and promoted like any delayed job."""
    job = await run_with(store)
    await fail(store, job)
    promoted = await store.promote(GROUP, job.id)
    assert (promoted.status, promoted.attempts) == ("queued", 1)
    [again] = await store.next(1, [GROUP])
    await fail(store, again)
    cancelled = await store.cancel(GROUP, job.id)
    assert (cancelled.status, cancelled.attempts) == ("cancelled", 2)
    assert (await fail(store, again)).status == "cancelled"
    assert await check(store) == []


async def test_check_restores_a_job_that_waited(store: Store) -> None:
    """A job that waited for its next try and is in no set is delayed once more, and due at once."""
    job = await run_with(store)
    await fail(store, job)
    await store.redis.zrem(members_key(store, GROUP, "delayed"), job.id)
    findings = await check(store, is_repair=True)
    assert {finding.what for finding in findings} >= {"is in no set; its status is delayed"}
    assert await wait_ms(store, job) == 0


async def test_statistics(store: Store) -> None:
    """A forgiven failure counts as failed and as retried, and its next try as one that came in, as new jobs do."""
    job = await run_with(store)
    await store.finish([Finish(group_name=GROUP, id=job.id, status="failed", lease=job.lease)])
    await fail(store, await take_again(store, job))
    await configure(store, delivery_limit=1)
    await take_again(store, job)
    counts = store.completer._tally.of(GROUP).counts
    assert counts[:4] == [3, 3, 0, 2]
    assert counts[7] == 2
    await reap_after(store, 60)
    assert counts[:4] == [4, 3, 0, 3]
    assert counts[6:] == [1, 3]


async def test_d10_an_outage_does_not_burn_all_attempts_at_once(store: Store) -> None:
    """Trap D10: with the policy of the docs' example the tries last a quarter of an hour, and a day at most."""
    text = (PAGES / "failures.md").read_text("utf-8")
    [example] = re.findall(r"^```json\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)
    retry = msgspec.json.decode(example, type=NewJobs).jobs[0].retry
    assert isinstance(retry, Retry)
    assert retry.max_age == 86_400
    assert sum(await waits_of(store, retry, retry.max or 0)) > 15 * 60 * 1000


async def test_what_the_store_keeps_of_a_job_that_waits(store: Store) -> None:
    """Its execution is the number of deliveries, and its own hash has what lua/README says."""
    job = await run_with(store)
    await fail(store, job)
    p = store.partitions[0]
    assert await store.redis.hget(keys.executions(p), job.id) == b"1"
    own = await store.redis.hgetall(keys.job(p, job.id))
    assert own.keys() == {b"attempts", b"reason", b"reported", b"history"}
    assert own[b"reported"].decode() == job.lease


async def test_a_job_without_a_policy_has_no_byte_more(store: Store) -> None:
    """Its record and its fields are those of ever."""
    job = await running(store)
    await fail(store, job)
    p = store.partitions[0]
    assert (await store.redis.hget(keys.jobs(p), job.id)).startswith(GROUP.encode())
    assert (await store.redis.hgetall(keys.job(p, job.id))).keys() == {b"reason"}
