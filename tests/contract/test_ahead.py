"""Enqueue of large jobs, whose specs are sent ahead of the script: whole, and nothing is left of what was not made."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from broker.core.errors import IdempotencyMismatch, Invalid, LimitReached, StoreFull, StoreUnavailable
from broker.diagnostics.consistency import check
from broker.models.jobs import NewJob
from broker.resp import keys
from broker.store.group_limits import GroupLimits
from broker.store.staging import KEPT_MS, LARGE_BYTES
from tests.contract.building import GROUP, ids, new, partition
from tests.stores import Store

LARGE = [new(payload=letter * (LARGE_BYTES + 1)) for letter in "abc"]


async def hashes(store: Store) -> dict[str, int]:
    """How long each hash that looks like a job's is kept, ms by id; -1: until it is deleted."""
    names = [name.decode() async for name in store.redis.scan_iter(keys.job(partition(store, GROUP), "*"))]
    return {name.removeprefix(keys.job(partition(store, GROUP), "")): await store.redis.pttl(name) for name in names}


@pytest.fixture
def sent(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The commands that stage payloads, in addition to sending them."""
    seen: list[Any] = []
    send = store._partitions.send

    async def watched(name: str, commands: Sequence[Sequence[Any]]) -> None:
        seen.extend(commands)
        await send(name, commands)

    monkeypatch.setattr(store._partitions, "send", watched)
    return seen


@pytest.mark.parametrize("key", ["", "once"])
async def test_enqueue_of_large_jobs(store: Store, sent: list[Any], key: str) -> None:
    """Jobs of more than a MiB are delivered unchanged, delayed ones too, and their hashes do not expire."""
    made = await store.enqueue(GROUP, [*LARGE, new(payload="later", delay=5)], key)
    assert [words[:3:2] for words in sent] == 4 * [("HSET", "spec"), ("PEXPIRE", KEPT_MS)]
    assert await hashes(store) == dict.fromkeys(ids(made.jobs), -1)
    assert [(job.id, job.payload) for job in await store.next(4)] == [(job.id, job.payload) for job in made.jobs[:3]]
    assert (await store.show(GROUP, made.jobs[3].id)).payload == "later"


async def test_enqueue_of_small_jobs_sends_nothing_ahead(store: Store, sent: list[Any]) -> None:
    """Up to a MiB the script carries them."""
    await store.enqueue(GROUP, [new(payload="x" * (LARGE_BYTES - len('{"image":"post","payload":""}')))])
    assert sent == []
    await store.enqueue(GROUP, [new(payload="x" * LARGE_BYTES)])
    assert len(sent) == 2


async def test_refused_large_jobs_leave_nothing(store: Store, backend: str) -> None:
    """Refused for a limit, a missing image, or another body under the same key: what was sent ahead is gone."""
    settings = msgspec.structs.replace(store.settings, max_group_jobs=2)
    store = Store(store.redis, settings, is_plain=backend == "fake")
    [made] = (await store.enqueue(GROUP, LARGE[:1], "once")).jobs
    with pytest.raises(LimitReached):
        await store.enqueue(GROUP, LARGE[:2])
    assert await hashes(store) == {made.id: -1}
    with pytest.raises(Invalid):
        await store.enqueue("other", [NewJob(payload="x" * LARGE_BYTES)])
    assert await hashes(store) == {made.id: -1}
    with pytest.raises(IdempotencyMismatch):
        await store.enqueue(GROUP, LARGE[1:2], "once")
    assert await hashes(store) == {made.id: -1}
    assert (await store.enqueue(GROUP, LARGE[:1], "once")).is_replayed
    assert await hashes(store) == {made.id: -1}


@pytest.mark.parametrize("most", [0, 9])
async def test_large_jobs_whose_specs_are_lost(store: Store, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """When the store lost some of what was sent ahead, as in a failover, no job is made, and the rest is gone too."""
    monkeypatch.setattr(store.enqueuer, "_limits", GroupLimits(most, 0))
    send = store._partitions.send

    async def losing(name: str, commands: Sequence[Sequence[Any]]) -> None:
        await send(name, [words for words in commands if words[1] != commands[2][1]])

    monkeypatch.setattr(store._partitions, "send", losing)
    with pytest.raises(StoreUnavailable, match="nothing was enqueued") as error:
        await store.enqueue(GROUP, LARGE)
    assert error.value.retry_after_s == 1
    assert await hashes(store) == {}
    assert await store.next(1) == []


async def test_specs_that_no_script_took(store: Store) -> None:
    """A payload that a broker staged before it died is no job, needs no repair, and expires after a minute."""
    key = keys.job(partition(store, GROUP), "0" * 16)
    await store._partitions.send(partition(store, GROUP), [("HSET", key, "spec", "{}"), ("PEXPIRE", key, KEPT_MS)])
    assert await check(store, is_repair=True) == []
    assert 0 < (await hashes(store))["0" * 16] <= KEPT_MS
    assert await store.next(1) == []
    await store.redis.delete(key)


async def test_refused_specs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the store refuses what is sent ahead, the enqueue is refused so, and makes no job."""

    async def refused(*_: object) -> None:
        raise StoreFull

    monkeypatch.setattr(store._partitions, "send", refused)
    with pytest.raises(StoreFull):
        await store.enqueue(GROUP, LARGE)
    assert await store.next(1) == []
