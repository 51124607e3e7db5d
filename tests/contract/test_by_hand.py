"""The scripts as somebody calls them who is not the broker: many items at once, the server's clock, lone refusals."""

import time
from collections.abc import Sequence

import pytest

from broker.core.errors import NotFound
from broker.diagnostics.consistency import check
from broker.resp import keys
from tests.conftest import NOW
from tests.contract.building import GROUP, Run, enqueue, forget_all, lose, members_key, running
from tests.contract.listening import Heard
from tests.stores import Store

SPEC = '{"image":"post"}'


def job_ids(n: int) -> list[str]:
    return [f"{number:016}" for number in range(1, n + 1)]


async def enqueue_many(run: Run, ids: Sequence[str]) -> None:
    words = [word for job_id in ids for word in (job_id, SPEC)]
    assert await run("enqueue", NOW, "", "", "", "", "", len(ids), 0, 0, "", GROUP, len(ids), 0, 0, "", *words) == [NOW]


async def test_many_at_once(store: Store, run: Run) -> None:
    """More items than one command of the store takes are done in pieces, and none is passed over."""
    ids = job_ids(4100)
    for part in (ids[:2200], ids[2200:]):
        await enqueue_many(run, part)
    _, (_, _, *handed) = await run("next", NOW, 4100, "token", "", 0, "")
    assert [job_id.decode() for job_id in handed[::4]] == ids
    leases = [f"token-{place.decode()}" for place in handed[1::4]]
    words = [word for pair in zip(ids, leases, strict=True) for word in pair]
    assert len(await run("touch", NOW + 1000, 0, GROUP, len(ids), 2, *words)) == len(ids)
    assert await store.redis.zcount(members_key(store, GROUP, "running"), NOW + 61_000, NOW + 61_000) == len(ids)
    done = await run("finish", NOW + 1000, "", GROUP, "succeeded", len(ids), 2, *words)
    assert all(item == 1 or b" succeeded " in item[0] for item in done)
    counts = (await store.groups.show(GROUP)).counts
    assert (counts.queued, counts.running, counts.succeeded) == (0, 0, len(ids))
    [p] = store.partitions
    for job_id in ids:
        await store.redis.hset(keys.job(p, job_id), "log_bytes", 1)
    _, _, _, expired, discarded, *_ = await run("reap", NOW + 1000 + 86_400_000, len(ids), *["new"] * len(ids))
    assert (expired, discarded) == (4100, 4100)
    assert await store.redis.exists(keys.jobs(p), keys.executions(p), *[keys.job(p, job_id) for job_id in ids]) == 0
    await store.redis.delete(keys.discarded(p))
    await forget_all(store)


async def test_next_image_tells_each_group_once(store: Store, run: Run) -> None:
    """Jobs of one group that follow each other are in one entry that begins with its name."""
    jobs = [await enqueue(store) for _ in range(2)]
    _, (group, _, *handed) = await run("next_image", NOW, 5, "token", "", 0, "", "", 0, '"post"')
    assert (group.decode(), [job_id.decode() for job_id in handed[::4]]) == (GROUP, [job.id for job in jobs])


@pytest.mark.parametrize("backend", ["fake"])
async def test_clock_of_the_server(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a time the server's counts, in whole ms."""
    for seconds, ms in ((1_795_461_794.999_998, 1_795_461_794_999), (1_795_461_794.000_999, 1_795_461_794_000)):
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda seconds=seconds: seconds)
            assert (await run("reap", "", 0))[6] == ms


async def test_next_of_ids_without_jobs(store: Store, run: Run) -> None:
    """A group without a dispatched job is not in the reply."""
    job = await enqueue(store)
    await lose(store, job)
    assert await run("next", NOW, 1, "token", "", 0, "") == [NOW]
    await check(store, is_repair=True)


async def test_next_of_a_job_whose_run_is_damaged(store: Store) -> None:
    """A text that no script wrote is ignored."""
    job = await enqueue(store)
    await store.redis.hset(keys.executions(store.partitions[0]), job.id, "?")
    [handed] = await store.next(1)
    assert (handed.id, handed.deliveries) == (job.id, 1)


async def test_places(store: Store) -> None:
    """A job's place is exact: 2^51 for each priority below the highest, and its number in the order of all."""
    for priority in (0, 1, 2):
        await enqueue(store, priority=priority)
    places = await store.redis.zrange(members_key(store, GROUP, "queued"), 0, -1, withscores=True)
    assert [int(place) for _, place in places] == [3, 2**51 + 2, 2**52 + 1]


async def test_refusal_of_one_and_of_many(store: Store, run: Run) -> None:
    """A lone refusal is the reply itself; among others it is its text in its place."""
    job = await running(store)
    missing = ("0" * 16, "")
    with pytest.raises(NotFound):
        await run("touch", NOW, 0, GROUP, 1, 2, *missing)
    ends, refused = await run("touch", NOW, 0, GROUP, 2, 2, job.id, job.lease, *missing)
    assert (ends, refused.partition(b" ")[0]) == (NOW + 60_000, b"NOT_FOUND")
    assert [text.partition(b" ")[0] for text in await run("touch", NOW, 0, GROUP, 2, 2, *missing, *missing)] == [
        b"NOT_FOUND"
    ] * 2


async def test_one_row(store: Store, run: Run) -> None:
    """With a single job in the reply, the item is a row and no refusal."""
    job = await running(store)
    [row] = await run("finish", NOW, "job", GROUP, "succeeded", 1, 2, job.id, job.lease)
    assert row[0].startswith(GROUP.encode() + b" ")
    assert row[1] == b"succeeded"


@pytest.mark.parametrize("with_jobs", ["", "job"])
async def test_fail_without_an_id_for_a_retry(store: Store, run: Run, with_jobs: str) -> None:
    """A failure that comes without an id for the automatic retry makes none."""
    job = await running(store, max_retries=1)
    await run("finish", NOW, with_jobs, GROUP, "failed", 1, 2, job.id, job.lease)
    kept = await store.show(GROUP, job.id)
    assert (kept.status, bool(kept.retry_at)) == ("failed", False)
    counts = (await store.groups.show(GROUP)).counts
    assert (counts.delayed, counts.queued, counts.failed) == (0, 0, 1)


async def test_enqueue_of_several_groups(store: Store, run: Run, woken: Heard) -> None:
    """Of a call for several groups, those with a job to dispatch now are published to polls for images."""
    await enqueue(store)
    await enqueue(store, "other")
    await store.next(1, images=["none of these"], waits=True)
    await woken()
    now, later = (GROUP, 1, 0, 0, "", "1" * 16, SPEC), ("other", 1, 0, 30, "", "2" * 16, SPEC)
    await run("enqueue", NOW, "", "", "", "", "", 1, 0, 0, "", *now, *later)
    assert await woken() == [GROUP]
