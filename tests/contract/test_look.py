"""`look`: which jobs pass its filters, how many it reads, its pages; and `find` by id alone."""

import asyncio
from itertools import product

import pytest
from msgspec import UNSET

from broker.core.errors import Invalid, NotFound
from broker.core.states import STATUSES
from broker.models.groups import GroupSettings
from broker.models.jobs import Job
from broker.models.workers import Announcement, Receipt
from broker.resp import keys
from broker.store.failures import cause_of, causes_of
from broker.store.looks import Filters, Found
from broker.store.pagination import PIECE
from tests.contract.building import (
    DAY_S,
    GROUP,
    Run,
    configure,
    enqueue,
    failed,
    ids,
    lose,
    members_key,
    new,
    now_ms,
    of_each_status,
    queued,
    reap_after,
    running,
    spread,
    started,
    wait,
)
from tests.stores import Store

each_order = pytest.mark.parametrize("newest_first", [False, True])
on_real_servers = pytest.mark.parametrize("backend", ["valkey", "redis"])
LONG = "x" * 5000


async def look(store: Store, n: int = 1000, *, looks: int = 10_000, group: str = GROUP, **given: object) -> Found:
    """One page; filters and the other parameters together."""
    wanted = {name: given.pop(name) for name in Filters.__struct_fields__ & given.keys()}
    return await store.looks.jobs(group, n, Filters(**wanted), looks=looks, **given)


async def found(store: Store, **given: object) -> list[str]:
    """The ids of the jobs that pass, on one page."""
    return ids((await look(store, **given)).rows)


async def every_page(store: Store, n: int, looks: int, **given: object) -> tuple[list[str], int]:
    """The ids of all pages, and how many jobs were read for them."""
    page = await look(store, n, looks=looks, **given)
    found, looked = ids(page.rows), page.looked
    while page.cursor:
        page = await look(store, n, looks=looks, cursor=page.cursor, **given)
        assert page.looked <= looks
        assert len(page.rows) <= n
        found, looked = found + ids(page.rows), looked + page.looked
    return found, looked


async def test_look_without_filters_is_a_list(store: Store) -> None:
    """Jobs in every status are as in the list, whole, and all of them were read."""
    await of_each_status(store)
    await store.retry(GROUP, (await failed(store)).id)
    await enqueue(store, payload=LONG)
    await queued(store, "other")
    listed, _ = await store.list(GROUP, 100)
    assert await look(store) == Found(listed, "", len(listed), len(listed))


async def test_look_in_statuses(store: Store) -> None:
    """The sets of several statuses follow each other, in any order; `of` counts the jobs of all of them."""
    jobs = await of_each_status(store)
    for status in STATUSES:
        assert sorted(await found(store, statuses=[status])) == sorted(ids(jobs[status]))
    n, all_of_them = len(jobs["queued"]), len(jobs["queued"]) + len(jobs["running"])
    page = await look(store, n, statuses=["queued", "running"])
    assert ids(page.rows) == ids(jobs["queued"])
    assert (page.looked, page.of) == (n, all_of_them)
    wanted = [*ids(jobs["queued"]), *ids((await store.list(GROUP, 9, statuses=["running"]))[0])]
    assert await every_page(store, 1, 9, statuses=["queued", "running", "queued"]) == (wanted, all_of_them)


@each_order
@pytest.mark.parametrize(("n", "looks"), list(product([1, 3, 1000], [1, 4, 10_000])))
async def test_look_pages(store: Store, n: int, looks: int, newest_first: bool) -> None:
    """Page by page each job that passes comes once, and each job is read once, with any n and any number of looks."""
    wanted = []
    for number in range(17):
        job = await enqueue(store, image="a" if number % 3 else "b")
        wanted += [job.id] if number % 3 == 0 else []
        wait(store, 0.001 * (number % 2))
    pages = await every_page(store, n, looks, image="b", newest_first=newest_first)
    assert pages == (wanted[::-1] if newest_first else wanted, 17)


async def test_look_at_no_more_than_it_may(store: Store) -> None:
    """With looks for a part of the group, `looked` says how many it was, and `of` how many there are."""
    await store.enqueue(GROUP, [new()] * 7)
    page = await look(store, looks=4, image="none")
    assert (page.rows, page.looked, page.of) == ([], 4, 7)
    assert (await look(store, looks=4, image="none", cursor=page.cursor)) == Found([], "", 3, 7)


async def test_look_with_a_foreign_cursor(store: Store) -> None:
    """A cursor of a list of other sets is refused."""
    await store.enqueue(GROUP, [new()] * 2)
    cursor = (await look(store, 1, statuses=["queued", "failed"])).cursor
    with pytest.raises(Invalid):
        await look(store, cursor=cursor)


@each_order
async def test_look_created_between(store: Store, newest_first: bool) -> None:
    """Both times are exclusive, in the list of all jobs and in a list of a status; `of` counts what is between them."""
    began = now_ms(store)
    jobs = []
    for _ in range(5):
        jobs += [(await enqueue(store)).id, (await enqueue(store)).id]
        wait(store, 0.001)
    for after, before in product((None, -1, 0, 2, 4, 9), repeat=2):
        low, high = -1 if after is None else after, 99 if before is None else before
        wanted = [job for i, job in enumerate(jobs) if low < i // 2 < high]
        times = {
            "created_after": None if after is None else began + after,
            "created_before": None if before is None else began + before,
        }
        order = wanted[::-1] if newest_first else wanted
        page = await look(store, newest_first=newest_first, **times)
        assert (ids(page.rows), page.looked, page.of) == (order, len(wanted), len(wanted))
        assert (await every_page(store, 2, 3, newest_first=newest_first, **times))[0] == order
        in_status = await look(store, newest_first=newest_first, statuses=["queued"], **times)
        assert (ids(in_status.rows), in_status.looked, in_status.of) == (order, 10, 10)


@each_order
async def test_look_completed_between(store: Store, newest_first: bool) -> None:
    """Both times are exclusive and those that jobs show, in the list of all jobs and in those of statuses.

    A job that is not finished matches neither, however it runs; one that began before the first time is not read.
    """
    began, ended = now_ms(store), []
    for number, status in enumerate(["succeeded", "failed", "failed", "succeeded", "failed"]):
        job = await running(store)
        wait(store, 0.001)
        finish = store.succeed if status == "succeeded" else store.fail
        early = now_ms(store) - 1 if number == 4 else None
        ended.append((await finish(GROUP, job.id, job.lease, completed_at=early)).id)
    at = [1, 2, 3, 4, 4]
    for way in (running, started):
        await way(store)
    await running(store, lease_s=5)
    await queued(store)
    for after, before in product((None, 0, 1, 2, 3, 4, 9), repeat=2):
        low, high = -1 if after is None else after, 99 if before is None else before
        if (after, before) == (None, None):
            continue
        times = {
            "completed_after": None if after is None else began + after,
            "completed_before": None if before is None else began + before,
        }
        wanted = {job for job, when in zip(ended, at, strict=True) if low < when < high}
        assert set(await found(store, newest_first=newest_first, **times)) == wanted
        pages, _ = await every_page(store, 1, 2, newest_first=newest_first, statuses=STATUSES, **times)
        assert (set(pages), len(pages)) == (wanted, len(wanted))
        page = await look(store, statuses=["failed", "queued"], **times)
        assert page.looked == sum(low < when for when in (2, 3, 5)) + 1
        assert page.of == page.looked


@pytest.mark.parametrize("payload", ["", "p", LONG])
async def test_look_for_an_image(store: Store, payload: str) -> None:
    """An image is compared whole, whatever characters it has, also where the spec is large."""
    images = ['a"b', "a", "a\\", "ab", "é", '","payload":"a']
    jobs = {image: (await enqueue(store, image=image, payload=payload)).id for image in images}
    for image, job_id in jobs.items():
        assert await found(store, image=image) == [job_id]
        assert await found(store, image=image, is_brief=True) == [job_id]


async def test_look_replies_with_payloads_that_have_the_text(store: Store, run: Run) -> None:
    """The script itself leaves out jobs without the text in their payload, so that no others are sent."""
    made = [("post", "to: ann"), ("post", "bob"), ("ann", "bob"), ("ann", ""), ('","payload":"', "bob")]
    jobs = [(await enqueue(store, image=image, payload=payload)).id for image, payload in made]
    for text, numbers in (("ann", [0]), ("to: ann", [0]), ("bob", [1, 2, 4]), ("payload", []), ("", [0, 1, 2, 3, 4])):
        asked = (GROUP, "jobs", "jobs", 99, 99, "asc", "", "", "whole", "", "", "", text, "", "", "", "")
        [_, _, n_read, of, *rows] = await run("look", *asked)
        assert (n_read, of) == (5, 5)
        assert [row[1].decode() for row in rows] == [jobs[number] for number in numbers], text


TEXTS = ["a", "n", "\n", "nb", "b", '"', "\\", "\\n", "u001f", "001", "\x1f", "é", "to", '"to":"ann"', '"}', "{", "zz"]
PAYLOADS = ["", "a\nb", '{"to":"ann"}', "\x1f", "a\\nb", "\\\\n", "éa", "u001f", "\n" * 3000 + "b", LONG, "\\" * 3000]


async def test_look_for_a_text(store: Store) -> None:
    """A text is found in the payloads that have it, and not where its JSON is a part of an escape or of the image."""
    image = 'to"é\\nzz","payload":"u001f'
    jobs = [(payload, (await enqueue(store, image=image, payload=payload)).id) for payload in PAYLOADS]
    for text in TEXTS:
        wanted = [job_id for payload, job_id in jobs if text in payload]
        assert await found(store, text=text) == wanted, text
        assert await found(store, text=text, is_brief=True) == wanted, text
        assert (await every_page(store, 1, 3, text=text))[0] == wanted, text


@pytest.mark.parametrize(
    "payload",
    [
        *("p", "", "é" * 300, "\x01" * 300, "\\" * 300, '"' * 5000, "\U0001f600" * 5000, "\x1f" * 5000),
        *("x" * shift + "\x1f\\é" * 3000 for shift in range(8)),
    ],
)
async def test_look_brief(store: Store, payload: str) -> None:
    """A brief list has the first 256 characters of each payload, whatever they are, and all other fields."""
    job = await enqueue(store, image="\\é" * 100, payload=payload, priority=1)
    [brief] = (await look(store, is_brief=True)).rows
    assert brief.payload == (payload[:256] or UNSET)
    brief.payload = job.payload
    assert brief == job


async def test_look_for_a_reason(store: Store) -> None:
    """A reason is compared whole; jobs without one do not pass."""
    jobs = [await running(store, payload=LONG) for _ in range(3)]
    for job, reason in zip(jobs, ("exit", "exit_1", ""), strict=True):
        await store.fail(GROUP, job.id, job.lease, reason)
    await enqueue(store)
    assert await found(store, reason="exit") == [jobs[0].id]
    assert await found(store, reason="exit", statuses=["failed"]) == [jobs[0].id]


async def test_look_for_a_cause(store: Store) -> None:
    """A cause has the failed jobs with its reason and its signature, also where one of them is empty, and no others."""
    errors = [
        ("exit", "no user 1"),
        ("exit", "no user 22"),
        ("", "no user 3"),
        ("exit", "other"),
        ("exit", ""),
        ("", ""),
    ]
    made = []
    for number, (reason, error) in enumerate(errors):
        job = await running(store, payload=LONG if number == 1 else "")
        await store.fail(GROUP, job.id, job.lease, reason, error)
        made.append(job)
    other = await running(store)
    await store.succeed(GROUP, other.id, other.lease)
    await store.cancel(GROUP, (await enqueue(store)).id)
    await enqueue(store)
    causes = causes_of((await store.looks.causes(GROUP, 1000)).rows)
    assert len({cause.cause for cause in causes}) == len(causes) == 5
    for cause in causes:
        mine = await found(store, cause=cause.cause)
        assert len(mine) == cause.n
        assert sorted(mine) == sorted(cause.ids)
        assert await found(store, cause=cause.cause, statuses=["failed"]) == mine
    assert await found(store, cause=cause_of("exit", "no user 333")) == ids(made[:2])
    assert await every_page(store, 1, 2, cause=cause_of("exit", "no user 333")) == (ids(made[:2]), 9)
    assert await found(store, cause=cause_of("exit", "unknown")) == []


async def test_look_for_jobs_that_were_not_retried(store: Store) -> None:
    """Jobs that were retried, by a person or automatically, can be left out."""
    by_hand, by_itself = await failed(store), await failed(store, max_retries=1, retries_delay=9)
    other = await failed(store)
    again = await store.retry(GROUP, by_hand.id)
    assert await found(store, is_unretried=True, statuses=["failed"]) == [other.id]
    automatic = (await store.show(GROUP, by_itself.id)).retry_at
    assert await found(store, is_unretried=True) == sorted([again.id, other.id, automatic])


async def test_look_for_a_worker(store: Store) -> None:
    """A worker has the jobs that it runs, by its last announcement, and those with its receipt."""
    receipt = Receipt(worker='w"1', host='"worker":"w2"', delivery=1)
    reported, other, held, later, mine = [await running(store) for _ in range(5)]
    await store.succeed(GROUP, reported.id, reported.lease, receipt=receipt)
    await store.succeed(GROUP, other.id, other.lease, receipt=Receipt(worker='w"12'))
    await store.succeed(GROUP, later.id, later.lease)
    names = {"w1": [mine.id], "w2": [held.id, later.id]}
    for name, own in names.items():
        await store.workers.announce(Announcement(name=name, host="h", running=own))
    assert await found(store, worker='w"1') == [reported.id]
    assert await found(store, worker="w2") == [held.id]
    assert await found(store, worker="w1", statuses=["running"]) == [mine.id]
    assert await found(store, worker="w") == []


async def test_look_sends_no_receipts(store: Store, run: Run) -> None:
    """Receipts are read for the filter, and are not in the reply."""
    job = await running(store)
    await store.fail(GROUP, job.id, job.lease, "r", "e", receipt=Receipt(worker="w"))
    asked = (GROUP, "jobs", "jobs", 9, 9, "asc", "", "", "whole", "", "", "", "", "", '"w"', "", "")
    [*_, row] = await run("look", *asked)
    assert row[::2] == [b"id", b"job", b"status", b"run", b"reason", b"error"]


async def test_look_with_all_filters(store: Store) -> None:
    """A job passes only if it passes every filter."""
    passing = {"image": "a", "payload": "to: ann"}
    jobs = [await running(store, **passing | other) for other in ({}, {"image": "b"}, {"payload": "to: bob"})]
    for job in jobs:
        await store.fail(GROUP, job.id, job.lease, "r", receipt=Receipt(worker="w"))
    wanted = {"image": "a", "text": "ann", "reason": "r", "worker": "w", "is_unretried": True}
    assert await found(store, **wanted) == [jobs[0].id]
    for name, value in {"image": "c", "text": "cid", "reason": "s", "worker": "v"}.items():
        assert await found(store, **wanted | {name: value}) == []
    await store.retry(GROUP, jobs[0].id)
    assert await found(store, **wanted) == []


async def test_look_leaves_out_what_is_no_job(store: Store) -> None:
    """An id without a record, or without its large spec, counts as read and is not in the answer."""
    jobs = [await enqueue(store, payload=payload) for payload in ("", LONG, "p")]
    await lose(store, jobs[0])
    await store.redis.delete(keys.job(store.partitions[0], jobs[1].id))
    for brief in (False, True):
        page = await look(store, is_brief=brief)
        assert (ids(page.rows), page.looked, page.of) == ([jobs[2].id], 3, 3)
    await lose(store, *jobs)
    await store.redis.delete(*[key async for key in store.redis.scan_iter(f"{store.partitions[0]}:*")])


async def test_look_at_large_jobs(store: Store) -> None:
    """A script call stops after 512 KiB of jobs, large or small; the next one continues, and nothing is missing."""
    jobs = [await enqueue(store, payload="y" * size) for size in (600_000, 10, 300_000, 300_000, 10)]
    assert await found(store) == ids(jobs)
    [score, last, n_read, of, *rows] = await store.looks._partitions.run(
        "look", store.partitions[0], GROUP, "jobs", "jobs", 99, 99, "asc", "", "", "brief", *[""] * 8
    )
    assert (last.decode(), n_read, of, len(rows)) == (jobs[0].id, 1, 5, 1)
    assert int(score) == now_ms(store)
    assert sum(map(len, rows[0])) < 5000
    await store.enqueue("small", [new(payload="z" * 4000)] * 200)
    reply = await store.looks._partitions.run(
        "look", store.partitions[0], "small", "jobs", "jobs", 999, 999, "asc", "", "", "whole", *[""] * 8
    )
    assert 125 <= reply[2] < 135


async def test_look_for_causes(store: Store) -> None:
    """The causes of failures are id, time, reason and error of the failed jobs, the newest first."""
    jobs = []
    for error in ("no route", ""):
        job = await running(store)
        wait(store, 1)
        await store.fail(GROUP, job.id, job.lease, "" if error else "timeout", error)
        jobs.append((job.id, str(now_ms(store)), "" if error else "timeout", error))
    await enqueue(store)
    rows, cursor, looked, of = await store.looks.causes(GROUP, 1000)
    assert [tuple(value.decode() for value in row) for row in rows] == jobs[::-1]
    assert (cursor, looked, of) == ("", 2, 2)
    assert (await store.looks.causes(GROUP, 1)).looked == 1


async def test_look_at_an_unknown_group(store: Store) -> None:
    """A group without jobs has none that pass."""
    assert await look(store) == Found([], "", 0, 0)
    assert await look(store, statuses=["failed", "queued"]) == Found([], "", 0, 0)


@on_real_servers
async def test_look_takes_few_commands(store: Store) -> None:
    """A script call reads 250 jobs at most, with 4 commands for all of them and one for each, two where it is large."""
    await store.enqueue(GROUP, [new()] * (2 * PIECE + 1))
    wait(store, 1)
    await store.enqueue(GROUP, [new(payload=LONG)])
    await store.redis.script_flush()
    await look(
        store, text="nothing", worker="w"
    )  # loads both scripts: a call of one that is not loaded counts more often
    before = await calls(store)
    page = await look(store, text="nothing", image="post", worker="w", reason="r", is_unretried=True)
    after = await calls(store)
    taken = {name: n - before.get(name, 0) for name, n in after.items() if n > before.get(name, 0)}
    assert page.looked == 2 * PIECE + 2
    assert taken.pop("evalsha") == 1 + 3  # one for the worker
    assert taken.pop("zcard") == 2 * 3
    assert taken.pop("hget") == 1
    assert taken.pop("hmget") == page.looked + 2 * 3 + 1
    assert taken.pop("zmscore") == 2 * 3
    assert sum(taken.values()) <= 3 + 30  # pages, and to find the position of the two cursors


async def calls(store: Store) -> dict[str, int]:
    """How often each command was called so far."""
    stats = await store.redis.info("commandstats")
    return {name.removeprefix("cmdstat_"): row["calls"] for name, row in stats.items()}


@pytest.mark.parametrize("partitions", [1, 3])
async def test_find_in_any_partition(store: Store) -> None:
    """The group of a job is found by the id alone, in each status and partition, until the job is deleted."""
    for group in spread(store):
        job = await queued(store, group, payload=LONG)
        assert await store.jobs.find(job.id) == group
        await store.cancel(group, job.id)
        assert await store.jobs.find(job.id) == group
    await reap_after(store, 2 * DAY_S)
    with pytest.raises(NotFound):
        await store.jobs.find(job.id)


@pytest.mark.parametrize("backend", ["fake"])
async def test_find_many_at_once(store: Store) -> None:
    """Many look-ups at once each find their own job."""
    jobs: list[Job] = [await queued(store, f"g-{number}") for number in range(20)]
    assert await asyncio.gather(*(store.jobs.find(job.id) for job in jobs)) == [job.group_name for job in jobs]
    await configure(store, "g-1", **{name: None for name in GroupSettings.__struct_fields__ if name == "image"})
    assert await store.redis.zcard(members_key(store, "g-1", "queued")) == 1
