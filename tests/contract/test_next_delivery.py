"""What `next` replies with a job: its lease, its times, its number of deliveries, its environment."""

import msgspec
import pytest
from redis.asyncio import Redis

from broker.core.settings import BrokerSettings
from broker.models.workers import Receipt
from tests.conftest import NOW
from tests.contract.building import (
    GROUP,
    clock,
    configure,
    enqueue,
    new,
    now_ms,
    queued,
    reap_after,
    running,
    spread,
    status_of,
    touch,
    wait,
)
from tests.stores import Store


async def test_next_gives_the_whole_job(store: Store) -> None:
    """A job that is dispatched has everything that the producer gave, and runs from now on."""
    fields = {"image": "post", "payload": "dear you", "timeout": 7, "priority": 1, "max_retries": 2, "retries_delay": 9}
    made = await enqueue(store, **fields)
    wait(store, 3)
    [job] = await store.next(1)
    assert {name: getattr(job, name) for name in fields} == fields
    assert (job.id, job.group_name, job.created_at) == (made.id, GROUP, made.created_at)
    assert (job.status, job.started_at, job.expires_at, job.deliveries) == ("running", clock(store), clock(store, 7), 1)


async def test_next_lease_is_shown_to_its_holder_only(store: Store) -> None:
    """The token is in the answer that delivers the job, and nowhere else."""
    job = await running(store)
    assert job.lease
    assert not (await store.show(GROUP, job.id)).lease
    assert not (await store.list(GROUP, 1))[0][0].lease
    assert not (await store.succeed(GROUP, job.id, job.lease)).lease


@pytest.mark.parametrize("partitions", [1, 3])
async def test_next_leases_differ(store: Store) -> None:
    """Each delivery has a token of its own."""
    for group in spread(store):
        await store.enqueue(group, [new(), new()])
    jobs = await store.next(100) + [await running(store)]
    assert len({job.lease for job in jobs}) == len(jobs)


async def test_next_deliveries(store: Store) -> None:
    """Every delivery counts, but for one that was released."""
    await queued(store, timeout=10)
    [job] = await store.next(1)
    assert job.deliveries == 1
    await reap_after(store, 10)
    assert (await store.show(GROUP, job.id)).deliveries == 1
    [job] = await store.next(1)
    assert job.deliveries == 2
    assert (await store.release(GROUP, job.id, job.lease)).deliveries == 1
    [job] = await store.next(1)
    assert job.deliveries == 2


async def test_next_started_at_is_of_this_delivery(store: Store) -> None:
    """A job that is queued again has not started; the next delivery sets the time again."""
    job = await running(store, timeout=10)
    await reap_after(store, 10)
    assert not (await store.show(GROUP, job.id)).started_at
    wait(store, 5)
    [job] = await store.next(1)
    assert job.started_at == clock(store)


async def test_next_env_vars(store: Store) -> None:
    """Who gets a job to run gets the group's environment as it is now; other answers do not show it."""
    await queued(store)
    await configure(store, env_vars={"TEXT": 'a "b" ü\n', "EMPTY": ""})
    [job] = await store.next(1)
    assert job.env_vars == {"TEXT": 'a "b" ü\n', "EMPTY": ""}
    assert not (await store.show(GROUP, job.id)).env_vars
    assert (await store.start(GROUP, job.id, job.lease)).env_vars == job.env_vars


async def test_next_env_vars_of_each_group(store: Store) -> None:
    """Jobs of several groups in one answer have each their own group's environment, or none."""
    for group in ("a", "b", "c"):
        await queued(store, group)
    await configure(store, "a", env_vars={"NAME": "a"})
    await configure(store, "c", env_vars={"NAME": "c"})
    a, b, c = await store.next(3)
    assert (a.env_vars, bool(b.env_vars), c.env_vars) == ({"NAME": "a"}, False, {"NAME": "c"})


async def test_next_short_lease(store: Store) -> None:
    """A lease that the consumer asks for ends after that time instead of the job's timeout."""
    job = await running(store, timeout=60, lease_s=5)
    assert job.expires_at == clock(store, 5)
    await reap_after(store, 4.999)
    assert (await store.show(GROUP, job.id)).status == "running"
    await reap_after(store, 0.001)
    assert (await store.show(GROUP, job.id)).status == "queued"


@pytest.mark.parametrize("images", [(), ("post",)])
async def test_next_lease_longer_than_the_timeout(store: Store, images: tuple[str, ...]) -> None:
    """No lease goes further beyond the job's timeout than its consumer may take to stop it."""
    await queued(store, timeout=60)
    [job] = await store.next(1, lease_s=100, images=images)
    assert job.expires_at == (await store.show(GROUP, job.id)).expires_at == clock(store, 75)


async def test_next_short_lease_after_the_timeout(store: Store) -> None:
    """With a short lease the timeout bounds the whole run: 15 s later it is failed, touched or not."""
    job = await running(store, timeout=12, lease_s=5, max_retries=1, retries_delay=0)
    began = now_ms(store)
    for passed_s, end_s in ((4, 9), (4, 13), (4.5, 17.5), (4.5, 22), (4.5, 26.5), (4.5, 27), (0.999, 27)):
        wait(store, passed_s)
        assert await touch(store, job) == began + end_s * 1000
        await store.reap(10)
    assert (await store.groups.show(GROUP)).counts.running == 1
    assert await store.next(1) == []
    await reap_after(store, 0.001)
    lost = await store.show(GROUP, job.id)
    assert (lost.status, lost.reason, lost.deliveries) == ("failed", "timeout", 1)
    assert (await store.next(1))[0].retry_of == job.id


@pytest.mark.parametrize("verb", ["succeed", "fail"])
async def test_next_short_lease_reported_after_the_timeout(store: Store, verb: str) -> None:
    """What a consumer reports of a run that it stopped at its timeout is taken, with its words and its receipt."""
    job = await running(store, timeout=2, lease_s=30)
    await reap_after(store, 16.999)
    receipt = Receipt(worker="w1")
    words = {"reason": "timeout", "error": "ran longer than its timeout of 2 s"} if verb == "fail" else {}
    await getattr(store, verb)(GROUP, job.id, job.lease, receipt=receipt, **words)
    ended = await store.show(GROUP, job.id)
    assert {name: getattr(ended, name) for name in words} == words
    assert [one.worker for one in ended.receipts or []] == ["w1"]


@pytest.mark.parametrize(("ends_s", "status"), [(11.999, "queued"), (12, "failed"), (13, "failed")])
async def test_next_short_lease_that_is_lost(store: Store, ends_s: float, status: str) -> None:
    """A lease that nobody renewed requeues the job while its timeout has time left, and fails it after that."""
    job = await running(store, timeout=12, lease_s=5)
    wait(store, 4)
    await touch(store, job)
    wait(store, ends_s - 9)
    await touch(store, job)
    await reap_after(store, 5)
    assert await status_of(store, job) == status


async def test_next_short_lease_without_a_grace(redis: Redis, settings: BrokerSettings, backend: str) -> None:
    """A broker may give consumers no time to stop a job: then no lease goes beyond the timeout."""
    own = msgspec.structs.replace(settings, stop_grace_s=0)
    store = Store(redis, own, is_plain=backend == "fake")
    store.now = str(NOW)
    job = await running(store, timeout=12, lease_s=20)
    assert job.expires_at == clock(store, 12)
    wait(store, 5)
    assert await touch(store, job) == now_ms(store) + 7000
    assert (await store.start(GROUP, job.id, job.lease)).expires_at == clock(store, 12)


async def test_next_lease_of_an_earlier_delivery_is_forgotten(store: Store) -> None:
    """A short lease and its deadline belong to one delivery; the next one without has the job's timeout."""
    job = await running(store, timeout=60, lease_s=5)
    await store.release(GROUP, job.id, job.lease)
    wait(store, 50)
    [job] = await store.next(1)
    assert job.expires_at == clock(store, 60)
    wait(store, 30)
    assert await touch(store, job) == now_ms(store) + 60_000
