"""`glance`: what the overview knows of each group, page by page and by name."""

import pytest
from msgspec import UNSET, structs

from broker.resp import keys
from broker.store.format.glances import GroupRow
from broker.store.group_counts import FAILED, IN, OUT
from tests.contract.building import (
    GROUP,
    Run,
    cancelled,
    configure,
    delayed,
    enqueue,
    failed,
    now_ms,
    partition,
    running,
    spread,
    succeeded,
    wait,
)
from tests.contract.flows import named
from tests.stores import Store


async def glance(store: Store, group: str = GROUP) -> GroupRow:
    """One group by name."""
    rows, now, away = await store.glances.named([group])
    assert (now, away) == (now_ms(store), set())
    return rows[group]


async def pages(store: Store, n: int) -> list[list[str]]:
    """The names in the pages of the first partition."""
    found, after = [], ("", "")
    while True:
        replies, _ = await store.glances.page(n, {0: after})
        rows = replies[0].rows  # type: ignore[union-attr]
        found.append([row.name for row in rows])
        if len(rows) < n:
            return found
        after = (rows[-1].created_at, rows[-1].name)


async def test_glance_counts_each_status(store: Store) -> None:
    """The six counts, in the order of the statuses."""
    await delayed(store)
    for way in (succeeded, failed, failed, cancelled, running):
        await way(store)
    for _ in range(3):
        await enqueue(store)
    assert (await glance(store)).counts == (1, 3, 1, 1, 2, 1)


@pytest.mark.parametrize("priority", [0, 1, 2])
async def test_glance_finds_the_oldest(store: Store, priority: int) -> None:
    """The oldest job is that of any priority; a delay is no wait, and what is not queued does not count."""
    assert store.now
    await enqueue(store, priority=priority)
    since = now_ms(store)
    for other in (0, 1, 2):
        wait(store, 1)
        await enqueue(store, priority=other)
    assert (await glance(store)).oldest_at == since
    await enqueue(store, "later", delay=5)
    assert (await glance(store, "later")).oldest_at is None
    due = now_ms(store) + 5000
    wait(store, 7)
    await store.reap(10)
    assert (await glance(store, "later")).oldest_at == due


async def test_glance_counts_what_jobs_wait_for(store: Store) -> None:
    """Held jobs wait for others or for a place of their key, queued ones for the rate limit; the other counts stay."""
    await configure(store, key_concurrency=1)
    parent = await enqueue(store)
    await store.enqueue(GROUP, [named("child", after=[parent.id])])
    for _ in range(3):
        await enqueue(store, key="acme")
    row = await glance(store)
    assert (row.counts, row.waiting, row.oldest_at) == ((3, 2, 0, 0, 0, 0), (1, 2, 0), now_ms(store))
    await configure(store, "limited", rate_limit=1)
    for _ in range(3):
        await enqueue(store, "limited")
    await store.next(1, ["limited"])
    row = await glance(store, "limited")
    assert (row.counts, row.waiting, row.oldest_at) == ((0, 2, 1, 0, 0, 0), (0, 0, 2), now_ms(store))


async def test_glance_without_jobs(store: Store) -> None:
    """A group that has settings only has no oldest job; one that does not exist is left out."""
    await configure(store, "empty", paused=True, max_concurrency=3, rate_limit=7)
    row = await glance(store, "empty")
    assert (row.oldest_at, row.limits.paused, row.limits.max_concurrency, row.limits.rate_limit) == (None, True, 3, 7)
    assert (await store.glances.named(["none"]))[0] == {}


async def test_glance_with_a_lost_record(store: Store) -> None:
    """An id without a record does not stop the overview."""
    job = await enqueue(store)
    record = await store.redis.hget(keys.jobs(store.partitions[0]), job.id)
    await store.redis.hdel(keys.jobs(store.partitions[0]), job.id)
    assert (await glance(store)).oldest_at is None
    await store.redis.hset(keys.jobs(store.partitions[0]), job.id, record)


async def test_glance_reads_statistics(store: Store) -> None:
    """A page has the last five minutes, and the last hour from half hours; by name it is the last hour exactly."""
    await failed(store)
    await store.counts.flush()
    wait(store, 35 * 60)
    await enqueue(store)
    await succeeded(store)
    await store.counts.flush()
    replies, _ = await store.glances.page(10, {0: ("", "")})
    [swept] = replies[0].rows  # type: ignore[union-attr]
    exact = await glance(store)
    for row in (swept, exact):
        assert (row.recent[IN], row.recent[OUT], row.recent[FAILED]) == (2, 1, 0)
        assert (row.hour[IN], row.hour[FAILED]) == (3, 1)
    assert exact.spark == (*[0] * 24, 1, *[0] * 34, 1)
    wait(store, 240)
    assert (await glance(store)).recent[IN] == 2
    wait(store, 60)
    assert (await glance(store)).recent[IN] == 0
    wait(store, 50 * 60)
    replies, _ = await store.glances.page(10, {0: ("", "")})
    assert replies[0].rows[0].hour[FAILED] == 0  # type: ignore[union-attr]


async def test_glance_reads_the_slots_of_now(store: Store, run: Run) -> None:
    """A page has five minutes and three half hours, the latest first, also when they begin now; by name all minutes."""
    hour = now_ms(store) // 3_600_000
    at, half = 3_600_000 * hour, 2 * hour
    await enqueue(store)
    minutes, halves = (keys.statistics(store.partitions[0], GROUP, kind) for kind in ("minutes", "halves"))
    for key, n in ((minutes, 60), (halves, 48)):
        await store.redis.hset(key, mapping={str(number): str(number) for number in range(n)})
    await store.redis.zadd(keys.counted(store.partitions[0]), {GROUP: at})
    [*_, row] = await run("glance", at, 9, "", "")
    assert row[-2:] == [[b"0", b"59", b"58", b"57", b"56"], [b"%d" % ((half - back) % 48) for back in range(3)]]
    [*_, row] = await run("glance", at, 9, "", "", GROUP)
    assert sorted(map(int, row[-2])) == list(range(60))
    await store.redis.delete(minutes, halves, keys.counted(store.partitions[0]))


@pytest.mark.parametrize("n", [1, 2, 5, 8])
async def test_glance_tells_groups_with_jobs_from_groups_without(store: Store, n: int) -> None:
    """Many groups are read together, and each has its own jobs and settings, whichever of its neighbours have some."""
    with_jobs, with_settings = {2, 3, 7, 12}, {0, 3, 4, 5, 6, 7, 12}
    for number in range(13):
        await configure(
            store, f"group-{number:02}", **({"max_concurrency": 1 + number} if number in with_settings else {})
        )
        for _ in range(number if number in with_jobs else 0):
            await enqueue(store, f"group-{number:02}")
    found: list[GroupRow] = []
    while len(found) < 13:
        after = (found[-1].created_at, found[-1].name) if found else ("", "")
        replies, _ = await store.glances.page(n, {0: after})
        found += replies[0].rows  # type: ignore[union-attr]
    named, _, _ = await store.glances.named([row.name for row in found])
    assert found == [structs.replace(row, spark=UNSET) for row in named.values()]
    assert {row.spark for row in named.values()} == {(0,) * 60}
    assert [row.queued for row in found] == [number if number in with_jobs else 0 for number in range(13)]
    limits = [1 + number if number in with_settings else UNSET for number in range(13)]
    assert [row.limits.max_concurrency for row in found] == limits


async def test_glance_of_a_group_whose_jobs_are_deleted(store: Store) -> None:
    """Statistics stay when the jobs are gone: the counts are 0, and the hour is as before."""
    job = await failed(store)
    await store.counts.flush()
    await store.jobs.remove(GROUP, job.id)
    row = await glance(store)
    assert (row.counts, row.hour[FAILED]) == ((0,) * 6, 1)


async def test_glance_pages(store: Store) -> None:
    """Pages follow the creation of groups; groups of one moment are in the order of their names."""
    for group in ("b", "a", "c"):
        await enqueue(store, group)
    wait(store, 1)
    await enqueue(store, "0")
    assert await pages(store, 2) == [["a", "b"], ["c", "0"], []]
    assert await pages(store, 5) == [["a", "b", "c", "0"]]


async def test_glance_pages_of_names_that_begin_alike(store: Store) -> None:
    """A name comes before those that it begins."""
    for group in ("aa", "b", "aab", "a"):
        await enqueue(store, group)
    assert await pages(store, 1) == [["a"], ["aa"], ["aab"], ["b"], []]


async def test_glance_knows_who_asked(store: Store) -> None:
    """A group's consumers are those that asked for it or for all; while nobody notes it, it is not known."""
    await enqueue(store)
    assert (await glance(store)).asked_at is None
    asked = keys.asked(store.partitions[0])
    await store.redis.zadd(asked, {"other": 5})
    await store.redis.pexpire(asked, 1000)
    assert (await glance(store)).asked_at == 0
    await store.redis.zadd(asked, {GROUP: 7})
    assert (await glance(store)).asked_at == 7
    await store.redis.zadd(asked, {"*": 9})
    assert (await glance(store)).asked_at == 9
    await store.redis.delete(asked)


@pytest.mark.parametrize("partitions", [3])
async def test_glance_in_several_partitions(store: Store) -> None:
    """Groups by name are read in their partitions."""
    groups = spread(store, 2)
    for group in groups:
        await enqueue(store, group)
        assert partition(store, group) in store.partitions
    rows, _, _ = await store.glances.named(groups)
    assert {name: row.counts[1] for name, row in rows.items()} == dict.fromkeys(groups, 1)
