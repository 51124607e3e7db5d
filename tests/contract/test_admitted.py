"""What is stored of a job that admit creates, to the byte: the settings in its record, and its fields."""

from typing import Any

from broker.models.jobs import Job
from broker.models.unique import Unique
from broker.resp import keys
from tests.contract.building import GROUP, clock, now_ms, queued, succeeded, wait
from tests.contract.flows import enqueue_flow, named
from tests.stores import Store

KEY = {"unique": '{"key":"k"}', "unique_key": "k", "unique_until": "over"}


async def settings_of(store: Store, job: Job) -> str:
    """The settings in the record of a job; NOW is the time of the store."""
    record = (await store.redis.hget(keys.jobs(store.partitions[0]), job.id)).decode()
    settings, _, rest = record.partition(f"{job.group_name} {now_ms(store)} ")
    assert rest
    return settings.strip()


async def fields_of(store: Store, job: Job) -> dict[str, str]:
    found = await store.redis.hgetall(keys.job(store.partitions[0], job.id))
    return {name.decode(): value.decode() for name, value in found.items()}


async def test_settings(store: Store) -> None:
    """Only what is not the default; times are those of the store. A call may have jobs of many kinds."""
    now = now_ms(store)
    jobs: list[tuple[dict[str, Any], str, dict[str, str]]] = [
        ({"start_within": 60}, f'{{"hooks":1,"start_before":{now + 60_000}}}', {}),
        ({"end_within": 60, "timeout": 7}, f'{{"hooks":1,"timeout":7,"end_before":{now + 60_000}}}', {}),
        ({"start_within": 60, "delay": 5}, f'{{"hooks":1,"delay":5,"start_before":{now + 60_000}}}', {}),
        ({"end_within": 60, "run_at": clock(store, 5)}, f'{{"hooks":1,"delay":5,"end_before":{now + 60_000}}}', {}),
        ({"run_at": clock(store, 5.001)}, f'{{"delay":6,"due":{now + 5001}}}', {}),
        ({"run_at": clock(store, -5)}, "", {}),
        ({"key": "k"}, '{"hooks":2}', {"key": "k"}),
        ({"key": "k", "start_within": 60}, f'{{"hooks":2,"start_before":{now + 60_000}}}', {"key": "k"}),
        ({"unique": Unique(key="k")}, '{"hooks":2}', KEY),
    ]
    made = await enqueue_flow(store, *(named("x", **given) for given, _, _ in jobs))
    assert [await settings_of(store, job) for job in made] == [settings for _, settings, _ in jobs]
    assert [await fields_of(store, job) for job in made] == [fields for _, _, fields in jobs]


async def test_ties(store: Store) -> None:
    """A job that waits has its number of parents; one whose parents have ended has none, but it has their inputs."""
    over, parent = await succeeded(store), await queued(store)
    due = now_ms(store) + 5000
    ended, waits, later, timed = await enqueue_flow(
        store,
        named("ended", after=[over.id]),
        named("waits", after=[over.id, parent.id], after_on="over", timeout=7),
        named("later", after=[parent.id], delay=5),
        named("timed", after=[parent.id], run_at=clock(store, 5)),
    )
    assert [await settings_of(store, job) for job in (ended, waits, later, timed)] == [
        '{"inputs":1}',
        '{"timeout":7,"inputs":1}',
        '{"delay":5,"inputs":1}',
        f'{{"delay":5,"due":{due},"inputs":1}}',
    ]
    assert await fields_of(store, ended) == {"after": over.id, "after_on": "succeeded"}
    assert await fields_of(store, waits) == {"after": f"{over.id} {parent.id}", "after_on": "over", "needs": "1"}


async def test_a_follower(store: Store) -> None:
    """It waits for the job that has its key, and has no `after` for that."""
    key = Unique(key="k", on_conflict="follow")
    holder, follower = await enqueue_flow(store, named("a", unique=key), named("b", unique=key))
    found = await fields_of(store, follower)
    assert found.pop("unique")
    assert found == {"unique_key": "k", "unique_until": "over", "needs": "1", "leader": holder.id}
    assert await settings_of(store, follower) == '{"hooks":2}'


async def test_jobs_of_a_kind_in_one_call(store: Store) -> None:
    """Each has the settings that its own place in the flow needs, whichever of them was made first."""
    roots = [named(name, ref=name) for name in "abc"]
    jobs = await enqueue_flow(
        store,
        *roots,
        named("last", after=["a", "b", "c"]),
        named("middle", ref="m", after=["a"]),
        named("after it", after=["m"]),
    )
    found = [await settings_of(store, job) for job in jobs]
    assert found == ['{"hooks":2}'] * 3 + ['{"inputs":1}', '{"hooks":2,"inputs":1}', '{"inputs":1}']


async def test_a_group_keeps_its_creation(store: Store) -> None:
    """A later job changes nothing of that, whether it is queued or not; and no answer is kept without a key."""
    began = now_ms(store)
    for fields in ({"start_within": 60}, {"start_within": 60}, {"start_within": 60, "delay": 9}):
        await enqueue_flow(store, named("x", **fields))
        assert await store.redis.zscore(f"{store.partitions[0]}:groups", GROUP) == began
        wait(store, 1)
    assert not [key async for key in store.redis.scan_iter(f"{store.partitions[0]}:answer*")]
