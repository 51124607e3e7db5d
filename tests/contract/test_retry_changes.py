"""Retries by hand, or of a bulk, whose new job differs from the old one."""

import msgspec
import pytest

from broker.core.errors import LimitReached, TitanError
from broker.core.settings import BrokerSettings
from broker.models.bulk import RetryChanges
from broker.models.jobs import Job
from broker.resp import keys
from broker.store.format.script_args import change_words
from tests.contract.building import GROUP, LARGE_SPEC, cancelled, clock, dump, failed, ids, queued, reap_after
from tests.stores import Store

OLD = {"image": "post", "payload": "dear ü", "timeout": 7, "priority": 2, "max_retries": 0, "retries_delay": 9}
DEFAULTS = {"payload": "", "timeout": 60, "priority": 0, "max_retries": 0, "retries_delay": 60, "delay": 0}
LONG = "x" * LARGE_SPEC
HARD = ["", "a", '","payload":"', "\\", '"', "ü\n\x00", "{", LONG]


async def retried(store: Store, job: Job, changes: RetryChanges, image: str = "") -> Job:
    """The new job. Raises its refusal."""
    [outcome] = (await store.bulks.act("retry", GROUP, [job.id], "ann", change_words(changes, image))).outcomes
    if isinstance(outcome, TitanError):
        raise outcome
    return await store.show(GROUP, str((await store.show(GROUP, job.id)).retry_at))


def shown(job: Job) -> dict[str, object]:
    """The fields that a producer gives; '' for no payload."""
    return {name: getattr(job, name) or "" if name == "payload" else getattr(job, name) for name in {**OLD, "delay": 0}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"timeout": 120},
        {"timeout": 60},
        {"priority": 1},
        {"priority": 0},
        {"max_retries": 4, "retries_delay": 0},
        {"image": "mail"},
        {"payload": "new"},
        {"payload": "null"},
        {"image": "a", "payload": "b", "timeout": 1, "priority": 0, "max_retries": 25, "retries_delay": 1, "delay": 9},
    ],
    ids=str,
)
async def test_retry_with_changes(store: Store, changes: dict[str, object]) -> None:
    """What is given is in the new job, the rest is as in the old one, which stays as it is."""
    old = await failed(store, **OLD)
    new = await retried(store, old, RetryChanges(**changes))
    assert shown(new) == OLD | {"delay": 0} | changes
    assert (new.status, new.retry_of, new.created_at) == (
        "delayed" if "delay" in changes else "queued",
        old.id,
        clock(store),
    )
    assert shown(await store.show(GROUP, old.id)) == OLD | {"delay": 0}


async def test_retry_with_defaults(store: Store) -> None:
    """A null is the default, and the image that of the group. Nothing is kept of a setting that is the default."""
    old = await cancelled(store, **OLD | {"max_retries": 3})
    new = await retried(store, old, RetryChanges(image=None, **dict.fromkeys(DEFAULTS)), "of-the-group")
    assert shown(new) == DEFAULTS | {"image": "of-the-group"}
    record = await store.redis.hget(keys.jobs(store.partitions[0]), new.id)
    assert record.split(b" ")[0] == b'{"retry_of":"%b"}' % old.id.encode()


async def test_retry_without_a_delay(store: Store) -> None:
    """The delay of the old job is not that of the new one, changed or not; its max_retries is."""
    for changes in (RetryChanges(), RetryChanges(timeout=5)):
        old = await cancelled(store, delay=30, max_retries=2)
        new = await retried(store, old, changes)
        assert (new.status, new.delay, new.max_retries) == ("queued", 0, 2)


async def test_retry_with_a_delay(store: Store) -> None:
    """The new job is delayed for so long, and then joins the end of the queue."""
    new = await retried(store, await failed(store), RetryChanges(delay=9))
    other = await queued(store)
    await reap_after(store, 8.999)
    assert (await store.show(GROUP, new.id)).status == "delayed"
    await reap_after(store, 0.001)
    assert ids(await store.next(9)) == [other.id, new.id]


@pytest.mark.parametrize("priority", [0, 1, 2])
async def test_retry_with_a_priority(store: Store, priority: int) -> None:
    """The new job has its rank among those of its new priority."""
    others = [await queued(store, priority=1) for _ in range(2)]
    old = await cancelled(store, priority=1)
    new = await retried(store, old, RetryChanges(priority=priority))
    assert ids(await store.next(9)) == ([new.id, *ids(others)] if priority == 2 else [*ids(others), new.id])


@pytest.mark.parametrize("payload", HARD, ids=lambda text: repr(text)[:12])
@pytest.mark.parametrize("image", ["i", '","payload":"', "\\", "ü"])
async def test_retry_with_texts_that_look_like_json(store: Store, image: str, payload: str) -> None:
    """Image and payload are changed one without the other, whatever the other one is, small or large."""
    for old_payload in ("", LONG):
        old = await cancelled(store, image=image, payload=old_payload)
        new = await retried(store, old, RetryChanges(payload=payload))
        assert (new.image, new.payload or "") == (image, payload)
        old = await cancelled(store, image="old", payload=payload)
        new = await retried(store, old, RetryChanges(image=image))
        assert (new.image, new.payload or "") == (image, payload)


@pytest.mark.parametrize("size", [LARGE_SPEC - 50, LARGE_SPEC + 50])
@pytest.mark.parametrize("old_size", [0, LARGE_SPEC + 50])
async def test_retry_with_a_large_payload(store: Store, size: int, old_size: int) -> None:
    """A large spec has a hash of its own, a small one is in the record; the job is dispatched with it."""
    old = await cancelled(store, payload="o" * old_size)
    new = await retried(store, old, RetryChanges(payload="n" * size))
    is_large = await store.redis.hstrlen(keys.job(store.partitions[0], new.id), "spec") > 0
    assert is_large == (size > LARGE_SPEC)
    assert (await store.next(1))[0].payload == "n" * size


class TestLimits:
    """A group whose unfinished jobs may have 60 bytes."""

    @pytest.fixture
    def settings(self, settings: BrokerSettings) -> BrokerSettings:
        """The limit."""
        return msgspec.structs.replace(settings, max_group_bytes=60)

    async def test_retry_with_changes_at_the_limit(self, store: Store) -> None:
        """The bytes of the new job count, not those of the old one; what is refused changes nothing."""
        old = await cancelled(store, payload="x" * 30)
        await queued(store)
        before = await dump(store)
        with pytest.raises(LimitReached):
            await store.retry(GROUP, old.id)
        assert await dump(store) == before
        new = await retried(store, old, RetryChanges(payload="y"))
        spec = len('{"image":"post"}') + len('{"image":"post","payload":"y"}')
        assert await store.redis.zscore(f"{store.partitions[0]}:bytes", GROUP) == spec
        await store.cancel(GROUP, new.id)
        small = await cancelled(store)
        with pytest.raises(LimitReached):
            await retried(store, small, RetryChanges(payload="x" * 30))
