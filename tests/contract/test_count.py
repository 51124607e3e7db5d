"""`count`: what brokers counted in memory comes to the store, each flush once, and is read as statistics."""

import pytest

from broker.core.errors import NotFound
from broker.models.reports import Finish
from broker.models.stats import Slot, Stats
from broker.resp import keys
from broker.store.count_flusher import CountFlusher
from broker.store.tally import Tally
from tests.contract.building import (
    GROUP,
    Run,
    cancelled,
    configure,
    enqueue,
    failed,
    new,
    now_ms,
    reap_after,
    running,
    running_many,
    spread,
    succeeded,
    wait,
)
from tests.stores import Store

COUNTS = Slot.__struct_fields__[1:]


def sums(stats: Stats) -> dict[str, int]:
    """The counts of all slots together, without those that are 0."""
    found = {name: sum(getattr(slot, name) for slot in stats.slots) for name in COUNTS}
    return {name: n for name, n in found.items() if n}


async def counts(store: Store, group: str = GROUP) -> dict[str, int]:
    """What the store has of the last hour of a group after a flush."""
    assert await store.counts.flush()
    return sums(await store.statistics.of_group(group, "1h"))


async def test_count_of_each_verb(store: Store) -> None:
    """Each verb counts once in its group."""
    await succeeded(store)
    await failed(store)
    await cancelled(store)
    job = await running(store)
    await store.release(GROUP, job.id, job.lease)
    assert await counts(store) == {"in_": 4, "out": 3, "succeeded": 1, "failed": 1, "cancelled": 1, "back": 1}


@pytest.mark.parametrize("how", ["remove", "bulk", "delete_group"])
async def test_count_of_those_who_waited(store: Store, how: str) -> None:
    """Jobs that are cancelled because a call settles the end of another job count, whichever call that is."""
    parent = await running(store)
    for _ in range(2):
        await enqueue(store, "others", after=[parent.id])
    await store.fail(GROUP, parent.id, parent.lease)
    if how == "remove":
        await store.remove(GROUP, parent.id)
    elif how == "bulk":
        await store.bulks.act("delete", GROUP, [parent.id], "ann")
    else:
        await store.groups.delete_group(GROUP)
    assert await counts(store, "others") == {"in_": 2, "cancelled": 2}


async def test_count_of_a_wait(store: Store) -> None:
    """A job that waits came back to its queue, once also when the call is repeated."""
    job, other = await running(store), await enqueue(store, "others")
    for _ in range(2):
        await store.completer.wait(GROUP, job.id, [other.id], lease=job.lease)
    assert await counts(store) == {"in_": 1, "out": 1, "back": 1}


async def test_count_of_repeats(store: Store) -> None:
    """What is repeated is counted once: a report, a report in bulk, a cancel, an enqueue with its key."""
    job = await running(store)
    other = await running(store)
    for _ in range(2):
        await store.succeed(GROUP, job.id, job.lease)
        await store.finish([Finish(group_name=GROUP, id=other.id, lease=other.lease, status="failed")])
        await store.enqueue(GROUP, [new()], "key")
    gone = await enqueue(store)
    for _ in range(2):
        await store.cancel(GROUP, gone.id)
    assert await counts(store) == {"in_": 4, "out": 2, "succeeded": 1, "failed": 1, "cancelled": 1}


async def test_count_of_retries(store: Store) -> None:
    """A retry is a new job, automatic or requested."""
    job = await running(store, max_retries=1, retries_delay=5)
    await store.fail(GROUP, job.id, job.lease)
    bulk = await running(store, max_retries=1, retries_delay=5)
    await store.finish([Finish(group_name=GROUP, id=bulk.id, lease=bulk.lease, status="failed")])
    await store.retry(GROUP, (await succeeded(store)).id)
    assert await counts(store) == {"in_": 6, "out": 3, "succeeded": 1, "failed": 2, "retried": 2}


async def test_count_of_a_bulk(store: Store) -> None:
    """What a bulk does counts as what a person does; a promotion and a delete count nothing."""
    later, bad = await enqueue(store, delay=30), await failed(store)
    for action, job in (("promote", later), ("cancel", later), ("cancel", later), ("retry", bad), ("delete", bad)):
        await store.bulks.act(action, GROUP, [job.id], "ann")
    assert await counts(store) == {"in_": 3, "out": 1, "failed": 1, "cancelled": 1}


async def test_count_of_lost_leases(store: Store) -> None:
    """The reaper counts the leases that ended, group by group."""
    await configure(store, delivery_limit=1)
    await running(store, max_retries=1)
    await running(store, "other")
    await running(store, "other")
    await reap_after(store, 60)
    assert await counts(store) == {"in_": 2, "out": 1, "failed": 1, "lost": 1, "retried": 1}
    assert await counts(store, "other") == {"in_": 2, "out": 2, "back": 2, "lost": 2}


async def test_count_of_start_and_undelivered(store: Store) -> None:
    """A job that start takes counts as one that next took; a client that left gives its jobs back."""
    job = await enqueue(store)
    await store.start(GROUP, job.id)
    await store.release_all(await running_many(store, 2))
    assert await counts(store) == {"in_": 3, "out": 3, "back": 2}


async def test_count_of_two_brokers(store: Store, other: Store) -> None:
    """10,000 jobs over two brokers: the counts are exact."""
    for _ in range(5):
        await store.enqueue(GROUP, [new()] * 1000)
        await other.enqueue(GROUP, [new()] * 1000)
    assert await other.counts.flush()
    assert await counts(store) == {"in_": 10_000}
    assert sums(await store.statistics.of_all("24h")) == {"in_": 10_000}


async def test_count_by_slots(store: Store) -> None:
    """Counts stay in their minute and half hour; after an hour the minute is used again."""
    await enqueue(store)
    await store.counts.flush()
    wait(store, 3600)
    await enqueue(store)
    await enqueue(store)
    assert await counts(store) == {"in_": 2}
    stats = await store.statistics.of_group(GROUP, "1h")
    assert len(stats.slots) == 60
    assert stats.slots[-1].in_ == 2
    day = await store.statistics.of_group(GROUP, "24h")
    assert [slot.in_ for slot in day.slots[-3:]] == [1, 0, 2]
    assert len(day.slots) == 48
    total = await store.statistics.of_all("24h")
    assert total.slots == day.slots
    wait(store, 90_000)
    assert sums(await store.statistics.of_group(GROUP, "24h")) == {}


async def test_count_of_times(store: Store) -> None:
    """1,000 jobs that ran for 0.2 s after a wait of 3 s: the percentiles lie in their buckets."""
    for _ in range(10):
        await store.enqueue(GROUP, [new()] * 100)
        wait(store, 3)
        jobs = await store.next(100)
        wait(store, 0.2)
        await store.finish([Finish(group_name=GROUP, id=job.id, lease=job.lease, status="succeeded") for job in jobs])
    await store.counts.flush()
    for stats in (await store.statistics.of_group(GROUP, "1h"), await store.statistics.of_all("24h")):
        assert 980 <= stats.run.n <= 1120
        assert stats.wait.n == 1000
        assert 0.1 <= float(stats.run.p50 or 0) <= float(stats.run.p99 or 0) <= 0.25
        assert 2.5 <= float(stats.wait.p50 or 0) <= float(stats.wait.p99 or 0) <= 5
        assert stats.sampled


async def test_count_of_single_reports_is_not_sampled(store: Store) -> None:
    """Times of single reports are all taken."""
    await succeeded(store)
    await store.counts.flush()
    stats = await store.statistics.of_group(GROUP, "1h")
    assert (stats.run.n, stats.wait.n, stats.sampled) == (1, 1, False)


async def test_count_of_times_adds_up(store: Store, other: Store) -> None:
    """Two flushes into the same slot add up, bucket by bucket; an hour later the slot begins again."""
    await succeeded(store)
    await store.counts.flush()
    await succeeded(other)
    await other.counts.flush()
    assert (await store.statistics.of_group(GROUP, "1h")).run.n == 2
    wait(store, 3600)
    await succeeded(store)
    await store.counts.flush()
    assert (await store.statistics.of_group(GROUP, "1h")).run.n == 1
    assert (await store.statistics.of_group(GROUP, "24h")).run.n == 3
    wait(store, 22 * 3600)
    await succeeded(store)
    await store.counts.flush()
    assert (await store.statistics.of_group(GROUP, "24h")).run.n == 4
    wait(store, 3600)
    assert (await store.statistics.of_group(GROUP, "24h")).run.n == 2


async def test_count_of_a_repeated_call(store: Store, run: Run) -> None:
    """A flush whose answer was lost is sent again, and counts once; the next number counts."""
    await enqueue(store)
    row = (GROUP, "1 0 0 0 0 0 0 0", "", "")
    for number in (7, 7, 8):
        await run("count", now_ms(store), "broker", number, 10, "", *row[1:], *row)
    await run("count", now_ms(store), "other", 8, 10, *row)
    assert sums(await store.statistics.of_group(GROUP, "1h")) == {"in_": 3}
    assert sums(await store.statistics.of_all("1h")) == {"in_": 2}


async def test_count_adds_each_count(store: Store, run: Run) -> None:
    """Each of the eight counts adds up, in the slots of the group and in the totals."""
    await configure(store)
    for number, added in enumerate(("1 2 3 4 5 6 7 8", "10 200 30 400 50 600 70 800")):
        await run("count", now_ms(store), "broker", number, 10, "", added, "", "", GROUP, added, "", "")
    p = store.partitions[0]
    kinds = [keys.statistics(p, GROUP, "minutes"), keys.statistics(p, GROUP, "halves")]
    for key in (*kinds, keys.total(p, now_ms(store) // 3_600_000)):
        [slot] = await store.redis.hvals(key)
        assert slot.split(b" ", 1)[1] == b"11 202 33 404 55 606 77 808"


async def test_count_names_slots_by_the_clock(store: Store, run: Run) -> None:
    """A slot is that of the minute, ten minutes, half hour and hour that begin now, with its number since 1970."""
    await configure(store)
    hour, p = now_ms(store) // 3_600_000, store.partitions[0]
    half, ten, minute = 2 * hour, 6 * hour, 60 * hour
    counts = "0 1 1 0 0 0 0 0"
    await run("count", 3_600_000 * hour, "broker", 1, 10, GROUP, counts, "3:1", "4:2 5:1", "", counts, "", "4:2")
    wanted = {
        "minutes": {"0": f"{minute} {counts}"},
        "halves": {str(half % 48): f"{half} {counts}"},
        "times": {
            f"w{hour % 24}": f"{hour} 3:1",
            "wm0": f"{ten} 3:1",
            f"r{hour % 24}": f"{hour} 4:2 5:1",
            "rm0": f"{ten} 4:2 5:1",
        },
    }
    for kind, fields in wanted.items():
        assert await text_of(store, keys.statistics(p, GROUP, kind)) == fields
    assert await text_of(store, keys.total(p, hour)) == {"0": f"{minute} {counts}"}
    assert await text_of(store, keys.total_times(p)) == {f"r{hour % 24}": f"{hour} 4:2", "rm0": f"{ten} 4:2"}


async def test_count_without_times(store: Store, run: Run) -> None:
    """Without times nothing is kept of them."""
    await run("count", now_ms(store), "broker", 1, 10, GROUP, "1 0 0 0 0 0 0 0", "", "")
    assert await text_of(store, keys.statistics(store.partitions[0], GROUP, "times")) == {}


async def text_of(store: Store, key: str) -> dict[str, str]:
    """The fields of a hash."""
    return {field.decode(): value.decode() for field, value in (await store.redis.hgetall(key)).items()}


async def test_count_of_more_groups_than_are_kept(store: Store) -> None:
    """Groups beyond the most are in the totals only; an idle group makes room after a day."""
    tally = Tally()
    flusher = CountFlusher(store._partitions, store.clock, tally, "broker", 2)
    for groups in ("a", "abc", "c"):
        for group in groups:
            await enqueue(store, group)
            tally.enqueued(group, 1)
        await flusher.flush()
    kept = {group: sums(await store.statistics.of_group(group, "1h")) for group in ("a", "b", "c")}
    assert kept == {"a": {"in_": 2}, "b": {"in_": 1}, "c": {}}
    assert sums(await store.statistics.of_all("1h")) == {"in_": 5}
    wait(store, 90_000)
    tally.enqueued("c", 1)
    await flusher.flush()
    assert sums(await store.statistics.of_group("c", "1h")) == {"in_": 1}


async def test_count_of_an_idle_group_expires(store: Store) -> None:
    """Every key of the statistics expires, so a group that is idle costs nothing."""
    await succeeded(store)
    await store.counts.flush()
    p = store.partitions[0]
    lives = {key: await store.redis.pttl(key) for key in [keys.statistics(p, GROUP, kind) for kind in keys.STATISTICS]}
    hour = now_ms(store) // 3_600_000
    lives |= {key: await store.redis.pttl(key) for key in (keys.total(p, hour), keys.total_times(p), keys.counted(p))}
    assert all(0 < ms <= 90_000_000 for ms in lives.values()), lives
    assert lives[keys.statistics(p, GROUP, "minutes")] <= 7_200_000


async def test_count_of_an_unknown_group(store: Store) -> None:
    """A group that does not exist has no statistics."""
    with pytest.raises(NotFound, match="no such group"):
        await store.statistics.of_group("none", "1h")


@pytest.mark.parametrize("partitions", [3])
async def test_count_in_several_partitions(store: Store) -> None:
    """Each partition has the statistics of its groups; the totals are their sum."""
    groups = spread(store)
    for group in groups:
        await enqueue(store, group)
    assert [await counts(store, group) for group in groups] == [{"in_": 1}] * len(groups)
    assert sums(await store.statistics.of_all("1h")) == {"in_": len(groups)}
    assert sums(await store.statistics.of_groups(groups[:2], "1h")) == {"in_": 2}
