"""`enqueue` with an Idempotency-Key: a repeat creates nothing."""

import asyncio

import pytest

from broker.core.errors import IdempotencyMismatch, Invalid
from broker.models.jobs import NewJob
from broker.models.retries import Retry
from broker.resp import keys
from tests.contract.building import GROUP, configure, dump, ids, new, partition, reap_after, wait
from tests.stores import Store

pytestmark = pytest.mark.usefixtures("way")

BODY = [new(payload="1"), new(payload="2", delay=30)]
KEY = "letter 1"


@pytest.mark.parametrize("key", ["a", "a b", "a:b:{0}", "%s {}\"'\\", "~" * 255])
async def test_enqueue_again(store: Store, key: str) -> None:
    """The same key and body get the first answer again, and nothing is made."""
    first = await store.enqueue(GROUP, BODY, key)
    before = await dump(store)
    wait(store, 5)
    second = await store.enqueue(GROUP, BODY, key)
    assert (first.is_replayed, second.is_replayed) == (False, True)
    assert second.jobs == first.jobs
    assert await dump(store) == before


async def test_enqueue_again_when_the_jobs_went_on(store: Store) -> None:
    """The answer is the first one also when the jobs are finished, or gone."""
    first = await store.enqueue(GROUP, BODY, KEY)
    [job] = await store.next(1)
    await store.succeed(GROUP, job.id, job.lease)
    await store.remove(GROUP, job.id)
    await reap_after(store, 30)
    assert (await store.enqueue(GROUP, BODY, KEY)).jobs == first.jobs


async def test_enqueue_again_with_another_body(store: Store) -> None:
    """A key that was used with another body is refused, and nothing is made."""
    await store.enqueue(GROUP, BODY, KEY)
    before = await dump(store)
    for other in (BODY[:1], [*BODY, new()], BODY[::-1], [new(payload="1"), new(payload="2", delay=31)]):
        with pytest.raises(IdempotencyMismatch):
            await store.enqueue(GROUP, other, KEY)
    assert await dump(store) == before


async def test_enqueue_again_at_once(store: Store) -> None:
    """Of several that run at once one makes the jobs, and all get them."""
    answers = await asyncio.gather(*(store.enqueue(GROUP, BODY, KEY) for _ in range(5)))
    assert [answer.is_replayed for answer in answers].count(False) == 1
    assert {tuple(ids(answer.jobs)) for answer in answers} == {tuple(ids(answers[0].jobs))}
    assert len((await store.list(GROUP, 100))[0]) == 2


@pytest.mark.parametrize("partitions", [1, 3])
async def test_enqueue_same_key_in_another_group(store: Store) -> None:
    """A key belongs to a group."""
    answers = [await store.enqueue(f"group-{number}", BODY, KEY) for number in range(5)]
    assert not any(answer.is_replayed for answer in answers)


async def test_enqueue_without_a_key(store: Store) -> None:
    """Without a key the same body makes new jobs each time."""
    await store.enqueue(GROUP, BODY)
    assert not (await store.enqueue(GROUP, BODY)).is_replayed
    assert len((await store.list(GROUP, 100))[0]) == 4


async def test_enqueue_again_after_a_day(store: Store) -> None:
    """A key is remembered for a day; then it is new."""
    await store.enqueue(GROUP, BODY, KEY)
    answer = keys.answer(partition(store, GROUP), GROUP, KEY)
    assert 86_390_000 < await store.redis.pttl(answer) <= 86_400_000
    await store.redis.delete(answer)
    assert not (await store.enqueue(GROUP, BODY, KEY)).is_replayed


async def test_enqueue_again_does_not_remember_longer(store: Store) -> None:
    """The day counts from the first call."""
    await store.enqueue(GROUP, BODY, KEY)
    answer = keys.answer(partition(store, GROUP), GROUP, KEY)
    await store.redis.pexpire(answer, 5000)
    await store.enqueue(GROUP, BODY, KEY)
    assert await store.redis.pttl(answer) <= 5000


@pytest.mark.parametrize("image", ["second", None])
async def test_enqueue_again_after_the_groups_image_changed(store: Store, image: str | None) -> None:
    """The first answer is given with the image of then, though the group has another by now, or none."""
    await configure(store, image="first one")
    first = await store.enqueue(GROUP, [NewJob(), new()], KEY)
    await configure(store, image=image)
    second = await store.enqueue(GROUP, [NewJob(), new()], KEY)
    assert second.jobs == first.jobs
    assert [job.image for job in second.jobs] == ["first one", "post"]


async def test_enqueue_refused_does_not_use_the_key(store: Store) -> None:
    """A key whose request was refused may be used with a better body."""
    with pytest.raises(Invalid):
        await store.enqueue(GROUP, [NewJob()], KEY)
    assert not (await store.enqueue(GROUP, BODY, KEY)).is_replayed


async def test_another_policy_is_another_body(store: Store) -> None:
    """A body that differs in the retry policy alone is another one; the same policy is a repeat."""
    first = await store.enqueue(GROUP, [new(retry=Retry(max=2))], KEY)
    assert (await store.enqueue(GROUP, [new(retry=Retry(max=2))], KEY)).jobs == first.jobs
    for other in (new(retry=Retry(max=3)), new()):
        with pytest.raises(IdempotencyMismatch):
            await store.enqueue(GROUP, [other], KEY)
