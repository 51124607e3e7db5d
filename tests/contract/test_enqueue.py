"""`enqueue`: what a new job has, all or none, and where the image comes from."""

import msgspec
import pytest

from broker.core.errors import Invalid
from broker.core.timestamps import rfc3339
from broker.models.jobs import NewJob
from broker.resp import keys
from broker.store.format.record import parts_of, split
from tests.contract.building import (
    GROUP,
    LARGE_SPEC,
    clock,
    configure,
    dump,
    enqueue,
    ids,
    members_key,
    names,
    new,
    now_ms,
    wait,
)
from tests.stores import Store

pytestmark = pytest.mark.usefixtures("way")

FULL = {
    "image": "pöst/office:1.2",
    "payload": 'dear "you",\n{}\\ \u2028 \U0001f4ee',
    "delay": 31_536_000,
    "timeout": 604_800,
    "priority": 2,
    "max_retries": 25,
    "retries_delay": 31_536_000,
}
DEFAULTS = {"delay": 0, "timeout": 60, "priority": 0, "max_retries": 0, "retries_delay": 60, "deliveries": 0}


async def test_enqueue_defaults(store: Store) -> None:
    """A job of which only the image is given has the defaults, and its integers are all there."""
    [job] = (await store.enqueue(GROUP, [NewJob(image="post")])).jobs
    assert {name: getattr(job, name) for name in DEFAULTS} == DEFAULTS
    assert (job.group_name, job.status, job.image, job.created_at) == (GROUP, "queued", "post", clock(store))
    assert not job.payload


async def test_enqueue_keeps_every_field(store: Store) -> None:
    """What is given is kept as it is, to the last character."""
    [job] = (await store.enqueue(GROUP, [NewJob(**FULL)])).jobs
    assert {name: getattr(job, name) for name in FULL} == FULL
    assert job.status == "delayed"


@pytest.mark.parametrize("fields", [{}, FULL, {"retries_delay": 0}, {"delay": 0, "timeout": 60}, {"payload": ""}])
async def test_enqueue_answers_what_show_answers(store: Store, fields: dict[str, int | str]) -> None:
    """The job in the answer is the job as it is kept."""
    [job] = (await store.enqueue(GROUP, [new(**fields)])).jobs
    assert await store.show(GROUP, job.id) == job


async def test_enqueue_order(store: Store) -> None:
    """The answer, the ids, the list and the queue have the order of the request."""
    wanted = [str(number) for number in range(30)]
    jobs = (await store.enqueue(GROUP, [new(payload=payload) for payload in wanted])).jobs
    assert [job.payload for job in jobs] == wanted
    assert ids(jobs) == sorted(set(ids(jobs)))
    assert ids((await store.list(GROUP, 100))[0]) == ids(jobs)
    assert await names(store, 100) == wanted


async def test_enqueue_of_unlike_jobs(store: Store) -> None:
    """Jobs of one call have one place after the other, also where they are unlike; so have those of the next call."""
    await store.enqueue(GROUP, [new(timeout=1), new(timeout=2), new(timeout=2), new(timeout=3)])
    await store.enqueue(GROUP, [new()])
    places = await store.redis.zrange(members_key(store, GROUP, "queued"), 0, -1, withscores=True)
    assert [int(place) - 2**52 for _, place in places] == [1, 2, 3, 4, 5]


async def test_enqueue_keeps_what_is_given_and_no_more(store: Store) -> None:
    """The text has the parts of every job, and those settings that are not the default."""
    for given in ({}, {"timeout": 5}, {"priority": 1, "max_retries": 2}, {"delay": 3, "retries_delay": 0}):
        [job] = (await store.enqueue(GROUP, [new(**given)])).jobs
        head, _ = split(await store.redis.hget(keys.jobs(store.partitions[0]), job.id))
        settings, group, created_at = parts_of(head)
        assert msgspec.json.decode(settings or b"{}") == given
        assert (group.decode(), rfc3339(int(created_at))) == (GROUP, job.created_at)


@pytest.mark.parametrize(("size", "is_large"), [(LARGE_SPEC - 1, False), (LARGE_SPEC, False), (LARGE_SPEC + 1, True)])
async def test_enqueue_of_a_large_spec(store: Store, size: int, is_large: bool, way: str) -> None:
    """A large spec has a hash of its own; the job goes out as it came, and its retry too."""
    payload = "x" * (size - len('{"image":"post","payload":""}'))
    job = await enqueue(store, payload=payload)
    [p] = store.partitions
    assert await store.redis.hstrlen(keys.job(p, job.id), "spec") == (size if is_large or way == "ahead" else 0)
    [handed] = await store.next(1)
    assert handed.payload == payload
    ended = await store.succeed(GROUP, job.id, handed.lease)
    assert ended.payload == payload
    retry = await store.retry(GROUP, job.id)
    assert await store.redis.hstrlen(keys.job(p, retry.id), "spec") == (size if is_large else 0)
    assert [one.payload for one in await store.next(1)] == [payload]
    assert [one.payload for one in (await store.list(GROUP, 5))[0]] == [payload] * 2


async def test_enqueue_makes_the_group(store: Store) -> None:
    """The first job makes the group; later ones leave its time as it is."""
    made = clock(store)
    await store.enqueue(GROUP, [new()])
    for is_empty in (False, True):
        if is_empty:
            await store.next(2)
        wait(store, 5)
        await store.enqueue(GROUP, [new()])
        assert (await store.groups.show(GROUP)).created_at == made


@pytest.mark.parametrize("priority", [0, 1, 2])
async def test_enqueue_delayed_beside_a_queued_job(store: Store, priority: int) -> None:
    """A delayed job has its timer, independent of the first job in its group's queue."""
    await store.enqueue(GROUP, [new(priority=priority)])
    await store.enqueue(GROUP, [new(delay=7)])
    assert (await store.reap(10)).wait_ms == 7000


async def test_enqueue_thousand(store: Store) -> None:
    """A thousand jobs go in by one call, each as it was given."""
    jobs = [new(payload=str(i), delay=i % 2, priority=i % 3) for i in range(1000)]
    await store.enqueue(GROUP, jobs)
    counts = (await store.groups.show(GROUP)).counts
    assert (counts.queued, counts.delayed) == (500, 500)
    assert await names(store, 1000) == [str(i) for i in sorted(range(0, 1000, 2), key=lambda i: (-(i % 3), i))]


async def test_enqueue_large_payload(store: Store) -> None:
    """A payload of 1 MiB comes back whole."""
    payload = "ü" * 524_288
    [job] = (await store.enqueue(GROUP, [new(payload=payload)])).jobs
    assert (await store.show(GROUP, job.id)).payload == payload


@pytest.mark.parametrize("image", [None, ""])
async def test_enqueue_image_of_the_group(store: Store, image: str | None) -> None:
    """A job without an image has the group's, and keeps it when the group changes its own."""
    await configure(store, image="group's")
    with_own, without = (await store.enqueue(GROUP, [new(image="own"), NewJob(image=image)])).jobs
    await configure(store, image="another")
    assert (with_own.image, without.image) == ("own", "group's")
    assert (await store.show(GROUP, without.id)).image == "group's"


@pytest.mark.parametrize("has_group", [False, True])
async def test_enqueue_without_an_image(store: Store, has_group: bool) -> None:
    """Where neither job nor group has an image none of the jobs goes in; the refusal names the first such job."""
    if has_group:
        await configure(store, max_concurrency=1)
    before = await dump(store)
    with pytest.raises(Invalid) as refused:
        await store.enqueue(GROUP, [new(), NewJob(), new(), NewJob()])
    assert refused.value.fields == "jobs[1].image"
    assert await dump(store) == before


async def test_enqueue_delay(store: Store) -> None:
    """A delayed job is due when its delay ends, by the store's clock."""
    await store.enqueue(GROUP, [new(delay=1), new(delay=3)])
    due = await store.redis.zrange(f"{store.partitions[0]}:group:{GROUP}:delayed", 0, -1, withscores=True)
    assert [int(score) - now_ms(store) for _, score in due] == [1000, 3000]
