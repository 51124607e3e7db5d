"""Batches: how members are counted, when callbacks are created, and what is refused."""

import pytest

from broker.core.errors import Invalid, LeaseLost, LimitReached, NotFound, StoreUnavailable, WrongState
from broker.diagnostics.consistency import check
from broker.models.batches import Batch, CallbackJob, NewBatch
from broker.models.groups import Retentions
from broker.models.jobs import Job, NewJob
from broker.models.retries import Retry
from broker.models.unique import Unique
from broker.resp import keys
from broker.resp.keys import partition_of
from broker.store.group_counts import IN
from tests.contract.building import GROUP, Run, configure, names, queued, reap_after, running, status_of
from tests.contract.flows import named, settle
from tests.stores import Store


def callback(payload: str, **fields: object) -> CallbackJob:
    """A callback that tests know by its payload."""
    return CallbackJob(image="post", payload=payload, **fields)


ALL = {name: callback(name) for name in ("on_failed", "on_succeeded", "on_over")}


async def create(store: Store, *jobs: NewJob, **fields: object) -> Batch:
    """A batch with these members."""
    batch, _ = await store.batches.create(GROUP, NewBatch(jobs=list(jobs), **fields))
    return batch


async def end_next(store: Store, how: str = "succeeded") -> Job:
    """End the first queued job."""
    [job] = await store.next(1)
    if how == "succeeded":
        return await store.succeed(GROUP, job.id, job.lease)
    return await store.fail(GROUP, job.id, job.lease, "bad_exit")


async def shown(store: Store, batch: Batch) -> Batch:
    """The batch now."""
    return await store.batches.show(GROUP, batch.id)


async def test_all_members_succeed(store: Store) -> None:
    """B15 on_succeeded and on_over are both created when the last member has ended, and on_failed is not."""
    batch = await create(store, named("a"), named("b"), **ALL)
    assert (batch.state, batch.counts.total, batch.counts.over, batch.callbacks) == ("running", 2, 0, {})
    await end_next(store)
    await settle(store)
    assert (await shown(store, batch)).counts.succeeded == 1
    await end_next(store)
    await settle(store)
    batch = await shown(store, batch)
    assert (batch.state, batch.counts.over, set(batch.callbacks)) == ("succeeded", 2, {"on_succeeded", "on_over"})
    created = 2 * 2  # members and callbacks
    assert (store.completer._tally.of(GROUP).counts[IN], store.maintenance.batches["callbacks"]) == (created, 2)
    assert await names(store, 5) == ["on_succeeded", "on_over"]


async def test_the_first_failure_counts_once(store: Store) -> None:
    """B4 on_failed is created at the first final failure, and not again at the second."""
    batch = await create(store, *(named(str(n)) for n in range(3)), **ALL)
    await end_next(store, "failed")
    await settle(store)
    assert set((await shown(store, batch)).callbacks) == {"on_failed"}
    await end_next(store, "failed")
    await end_next(store)
    await settle(store)
    batch = await shown(store, batch)
    assert (batch.state, batch.counts.failed, set(batch.callbacks)) == ("failed", 2, {"on_failed", "on_over"})
    assert await names(store, 5) == ["on_failed", "on_over"]


async def test_a_callback_has_the_counts(store: Store) -> None:
    """It keeps its payload, and its field `batch` says which callback it is, with the counts of its creation."""
    batch = await create(store, named("a", priority=2), named("b", priority=2), on_failed=callback("sorry"))
    await end_next(store, "failed")
    await settle(store)
    made = (await shown(store, batch)).callbacks["on_failed"]
    [member] = await store.next(1)
    assert (member.payload, member.batch.id, member.batch.counts) == ("b", batch.id, member.batch.counts)
    [job] = await store.next(1)
    for found in (job, await store.show(GROUP, made)):
        assert (found.id, found.payload, found.batch.id, found.batch.callback) == (made, "sorry", batch.id, "on_failed")
        counts = found.batch.counts
        assert (counts.total, counts.over, counts.succeeded, counts.failed) == (2, 1, 0, 1)


async def test_a_callback_has_its_settings(store: Store) -> None:
    """Delay, timeout, priority, retries and another group of the partition hold for it."""
    given = callback("later", delay=5, timeout=7, priority=1, max_retries=2, group_name="other")
    batch = await create(store, on_over=given)
    await settle(store)
    job = await store.show("other", (await shown(store, batch)).callbacks["on_over"])
    assert (job.status, job.delay, job.timeout, job.priority, job.max_retries) == ("delayed", 5, 7, 1, 2)
    await reap_after(store, 5)
    assert await status_of(store, job) == "queued"


async def test_the_retry_of_a_callback_has_the_counts(store: Store) -> None:
    """Its automatic retry and a retry by hand know the batch as it did."""
    batch = await create(store, on_over=callback("over", max_retries=1, retries_delay=0))
    await settle(store)
    await end_next(store, "failed")
    [again] = await store.next(1)
    assert (again.batch.id, again.batch.callback) == (batch.id, "on_over")
    await store.fail(GROUP, again.id, again.lease)
    assert (await store.retry(GROUP, again.id)).batch == again.batch


async def test_an_empty_batch_succeeds_at_once(store: Store) -> None:
    """One that is closed and has no members has ended; an open one is not until it is closed."""
    batch = await create(store, **ALL)
    assert batch.state == "succeeded"
    await settle(store)
    assert set((await shown(store, batch)).callbacks) == {"on_succeeded", "on_over"}
    later = await create(store, open=True, **ALL)
    await settle(store)
    assert ((await shown(store, later)).state, (await shown(store, later)).callbacks) == ("open", {})
    assert (await store.batches.close(GROUP, later.id)).state == "succeeded"
    await settle(store)
    assert set((await shown(store, later)).callbacks) == {"on_succeeded", "on_over"}


async def test_members_that_end_before_the_batch_is_closed(store: Store) -> None:
    """B13 members that have ended do not end an open batch; the call that closes it does."""
    batch = await create(store, named("a"), open=True, **ALL)
    await end_next(store)
    await settle(store)
    assert ((await shown(store, batch)).state, await names(store)) == ("open", [])
    await store.batches.close(GROUP, batch.id)
    await settle(store)
    assert (await shown(store, batch)).state == "succeeded"
    await store.batches.close(GROUP, batch.id)
    await settle(store)
    assert sorted(await names(store, 9)) == ["on_over", "on_succeeded"]


async def test_jobs_are_added_in_several_calls(store: Store) -> None:
    """B12 jobs of later calls count as the first ones, while the batch is open."""
    batch = await create(store, named("a"), open=True, **ALL)
    added, _ = await store.batches.add(GROUP, batch.id, [named("b"), named("c")])
    assert len(added.jobs) == 2
    await store.batches.close(GROUP, batch.id)
    with pytest.raises(WrongState, match="closed"):
        await store.batches.add(GROUP, batch.id, [named("d")])
    for _ in range(3):
        assert (await shown(store, batch)).state == "running"
        await end_next(store)
        await settle(store)
    assert (await shown(store, batch)).counts.succeeded == 3


async def test_a_running_member_adds_jobs(store: Store) -> None:
    """Its lease opens a closed batch to its jobs; nothing else does, and nobody's once it has ended."""
    batch = await create(store, named("a"), **ALL)
    [member] = await store.next(1)
    stranger = await queued(store)
    await store.batches.add(GROUP, batch.id, [named("b")], member.id, member.lease)
    with pytest.raises(LeaseLost):
        await store.batches.add(GROUP, batch.id, [named("c")], member.id, "other-1")
    with pytest.raises(WrongState):
        await store.batches.add(GROUP, batch.id, [named("c")], stranger.id, "other-1")
    await store.succeed(GROUP, member.id, member.lease)
    with pytest.raises(WrongState):
        await store.batches.add(GROUP, batch.id, [named("c")], member.id, member.lease)
    await settle(store)
    found = await shown(store, batch)
    assert (found.state, found.counts.total, found.counts.over) == ("running", 2, 1)


async def test_an_automatic_retry_takes_the_seat(store: Store) -> None:
    """B14 a failure that is retried does not count, and the end of the retry counts once."""
    batch = await create(store, named("a", max_retries=1, retries_delay=0), **ALL)
    await end_next(store, "failed")
    await settle(store)
    found = await shown(store, batch)
    assert (found.counts.total, found.counts.over, found.callbacks) == (1, 0, {})
    [retry], _ = await store.batches.members(GROUP, batch.id, 10)
    assert (retry.status, retry.batch.id) == ("queued", batch.id)
    await end_next(store)
    await settle(store)
    assert ((await shown(store, batch)).state, (await shown(store, batch)).counts.succeeded) == ("succeeded", 1)


async def test_a_member_whose_batch_is_gone_is_retried(store: Store) -> None:
    """Its automatic retry takes no seat where there is none, and runs."""
    batch = await create(store, named("a", max_retries=1, retries_delay=0))
    p = store.partitions[0]
    await store.redis.delete(f"{p}:batch:{batch.id}", f"{p}:batch:{batch.id}:jobs", f"{p}:batch:{batch.id}:unfinished")
    await store.redis.zrem(f"{p}:group:{GROUP}:batches", batch.id)
    await end_next(store, "failed")
    await settle(store)
    assert await names(store, 10) == ["a"]


async def test_a_lost_worker_counts_once(store: Store) -> None:
    """B11 a member whose lease is lost for the last time has failed, like one that was reported."""
    batch = await create(store, named("a", timeout=1), **ALL)
    for _ in range(5):
        assert await store.next(1)
        await reap_after(store, 1)
    await settle(store)
    found = await shown(store, batch)
    assert (found.state, found.counts.failed, set(found.callbacks)) == ("failed", 1, {"on_failed", "on_over"})


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"max_retries": 1, "retries_delay": 0}, "bad_exit"),
        ({"retry": Retry(max=1, delay=0, jitter=0)}, "bad_exit"),
        ({"start_within": 5}, "expired"),
        ({"end_within": 5}, "timeout"),
    ],
    ids=lambda found: found if isinstance(found, str) else "-".join(found),
)
async def test_every_way_to_fail(store: Store, fields: dict[str, object], reason: str) -> None:
    """B23 B9 on_failed is created whichever way a member fails for good, and the member is not unfinished any more."""
    batch = await create(store, named("a", **fields), **ALL)
    if reason == "bad_exit":
        for _ in range(2):
            assert not (await shown(store, batch)).callbacks
            await end_next(store, "failed")
            await reap_after(store, 0)
    await reap_after(store, 5)
    await settle(store)
    found = await shown(store, batch)
    assert (found.state, found.counts.failed, set(found.callbacks)) == ("failed", 1, {"on_failed", "on_over"})
    failed, _ = await store.batches.members(GROUP, batch.id, 9, "", ["failed"])
    assert [job.reason for job in failed] == [reason]
    assert not await store.redis.exists(f"{store.partitions[0]}:batch:{batch.id}:unfinished")


async def test_a_callback_that_fails(store: Store) -> None:
    """B6 it is retried as its own fields say, and never created again: the batch has ended."""
    batch = await create(store, on_over=callback("over", max_retries=1, retries_delay=0))
    await settle(store)
    before = await shown(store, batch)
    for _ in range(2):
        await end_next(store, "failed")
        await settle(store)
    assert await shown(store, batch) == before
    assert await names(store, 9) == []


async def test_members_of_members(store: Store) -> None:
    """B21 a closed batch waits for members that its members add, and for those that these add."""
    batch, found = await create(store, named("0"), **ALL), None
    for level in range(1, 4):
        [job] = await store.next(1)
        await store.batches.add(GROUP, batch.id, [named(str(level))], job.id, job.lease)
        await store.succeed(GROUP, job.id, job.lease)
        await settle(store)
        found = await shown(store, batch)
        assert (found.state, found.counts.total, found.counts.over) == ("running", level + 1, level)
    await end_next(store)
    await settle(store)
    assert (await shown(store, batch)).state == "succeeded"


@pytest.mark.parametrize("backend", ["valkey"])
async def test_bulk_actions_on_members(store: Store) -> None:
    """A cancel of many counts each; a retry of many is one by hand; a delete waits until they have counted."""
    batch = await create(store, *(named(str(n)) for n in range(4)), **ALL)
    await end_next(store, "failed")
    queued_ids = [job.id for job in (await store.batches.members(GROUP, batch.id, 9, "", ["queued"]))[0]]
    [failed], _ = await store.batches.members(GROUP, batch.id, 9, "", ["failed"])
    assert (await store.bulks.act("cancel", GROUP, queued_ids, "")).outcomes == [None] * len(queued_ids)
    assert (await store.bulks.act("retry", GROUP, [failed.id], "")).outcomes == [None] * len([failed.id])
    assert (await store.bulks.act("delete", GROUP, [failed.id], "")).outcomes == [None] * len([failed.id])
    await settle(store)
    found = await shown(store, batch)
    assert (found.state, found.counts.failed, found.counts.cancelled) == ("failed", 1, 3)
    assert set(found.callbacks) == {"on_failed", "on_over"}


async def test_a_retry_by_hand_is_no_member(store: Store) -> None:
    """B8 a member that failed and is retried by hand has counted; the new job is of no batch."""
    batch = await create(store, named("a"), **ALL)
    failed = await end_next(store, "failed")
    await settle(store)
    again = await store.retry(GROUP, failed.id)
    assert not again.batch
    await store.cancel(GROUP, again.id)
    await settle(store)
    assert (await shown(store, batch)).counts.over == 1


async def test_a_cancelled_member_counts(store: Store) -> None:
    """B18 it counts as cancelled, which is neither a success nor a failure."""
    batch = await create(store, named("a"), named("b"), **ALL)
    [first, _], _ = await store.batches.members(GROUP, batch.id, 10)
    await store.cancel(GROUP, first.id)
    await end_next(store)
    await settle(store)
    found = await shown(store, batch)
    assert (found.state, found.counts.cancelled, set(found.callbacks)) == ("cancelled", 1, {"on_over"})


async def test_retention_0_loses_no_callback(store: Store) -> None:
    """B1 B5 members that are deleted at once are counted before: the batch does not wait for them."""
    await configure(store, retention=Retentions(succeeded=0, failed=0, cancelled=0))
    batch = await create(store, named("a"), **ALL)
    job = await end_next(store)
    await reap_after(store, 1)
    await settle(store)
    await reap_after(store, 1)
    with pytest.raises(NotFound):
        await store.show(GROUP, job.id)
    assert set((await shown(store, batch)).callbacks) == {"on_succeeded", "on_over"}


async def test_a_cancelled_batch_is_over(store: Store) -> None:
    """B22 B24 cancel ends members in every status in bounded steps, and only on_over follows."""
    batch = await create(store, *(named(str(n)) for n in range(6)), named("late", delay=60), open=True, **ALL)
    await end_next(store, "failed")
    [job] = await store.next(1)
    assert (await store.batches.cancel(GROUP, batch.id)).stopped == "client_request"
    assert (await store.maintenance.settle(3)).n > 0
    assert (await shown(store, batch)).state == "running"
    await settle(store, 3)
    found = await shown(store, batch)
    counts = (found.counts.total, found.counts.over, found.counts.failed, found.counts.cancelled)
    assert (found.state, counts, set(found.callbacks)) == ("cancelled", (7, 7, 1, 6), {"on_over"})
    cancelled = await store.show(GROUP, job.id)
    assert (cancelled.status, cancelled.reason) == ("cancelled", "client_request")
    assert batch.id in cancelled.error
    with pytest.raises(WrongState):
        await store.batches.add(GROUP, batch.id, [named("x")])


async def test_a_batch_that_is_over_cannot_be_cancelled(store: Store) -> None:
    """It is refused, and the batch stays as it is; a repeated cancel is no refusal."""
    batch = await create(store)
    with pytest.raises(WrongState):
        await store.batches.cancel(GROUP, batch.id)
    await settle(store)
    with pytest.raises(WrongState):
        await store.batches.cancel(GROUP, batch.id)
    other = await create(store, named("a"))
    await store.batches.cancel(GROUP, other.id)
    await settle(store)
    assert (await store.batches.cancel(GROUP, other.id)).state == "cancelled"


async def test_end_within_cancels_what_is_unfinished(store: Store) -> None:
    """The members that have not ended in time are cancelled, and the callbacks follow; also of an open batch."""
    batch = await create(store, named("a"), named("b"), open=True, end_within=10, **ALL)
    await end_next(store, "failed")
    await reap_after(store, 9)
    await settle(store)
    assert (await shown(store, batch)).state == "open"
    await reap_after(store, 1)
    await settle(store)
    found = await shown(store, batch)
    assert (found.state, found.stopped, found.counts.cancelled) == ("failed", "end_within", 1)
    assert set(found.callbacks) == {"on_failed", "on_over"}


async def test_end_within_of_a_batch_that_is_over(store: Store) -> None:
    """Nothing happens to a batch that had ended in time."""
    batch = await create(store, named("a"), end_within=10, **ALL)
    await end_next(store)
    await settle(store)
    await reap_after(store, 10)
    await settle(store)
    found = await shown(store, batch)
    assert (found.state, found.stopped or "") == ("succeeded", "")


async def test_a_batch_is_kept_as_long_as_its_last_member(store: Store) -> None:
    """B7 it is deleted whole when the longest retention of its members ends, an hour after its end at the earliest."""
    batch = await create(store, named("a"))
    await end_next(store)
    await settle(store)
    await reap_after(store, 86_399)
    assert (await shown(store, batch)).state == "succeeded"
    await reap_after(store, 1)
    with pytest.raises(NotFound):
        await shown(store, batch)
    assert await store.batches.list(GROUP, 10) == ([], "")
    left = [key.decode() async for key in store.redis.scan_iter(f"{store.partitions[0]}:*")]
    assert not [key for key in left if batch.id in key or key.endswith((":batches", ":ending"))]
    empty = await create(store)
    await settle(store)
    await reap_after(store, 3599)
    assert await shown(store, empty)
    await reap_after(store, 1)
    with pytest.raises(NotFound):
        await shown(store, empty)


async def test_a_retry_repeats_what_failed(store: Store) -> None:
    """A new batch has the failed members again, with callbacks of its own; the old one stays as it is."""
    batch = await create(store, named("a"), named("b"), name="n", **ALL)
    with pytest.raises(WrongState, match="not over"):
        await store.batches.retry_batch(GROUP, batch.id)
    await end_next(store, "failed")
    await end_next(store)
    await settle(store)
    while await store.next(1):
        pass
    again, _ = await store.batches.retry_batch(GROUP, batch.id)
    assert (again.state, again.counts.total, again.retry_of, again.name) == ("running", 1, batch.id, "n")
    retried = await end_next(store)
    assert (retried.payload, retried.batch.id) == ("a", again.id)
    await settle(store)
    again = await shown(store, again)
    assert (again.state, set(again.callbacks)) == ("succeeded", {"on_succeeded", "on_over"})
    old = await shown(store, batch)
    assert old.state == "failed"
    assert old.callbacks["on_over"] != again.callbacks["on_over"]


async def test_a_retry_in_several_calls(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members that one call cannot read are repeated by the next one, and the last call closes the batch."""
    monkeypatch.setattr("broker.store.batches.RETRIED", 2)
    batch = await create(store, *(named(str(n)) for n in range(5)))
    for _ in range(5):
        await end_next(store, "failed")
    await settle(store)
    again, _ = await store.batches.retry_batch(GROUP, batch.id)
    assert (again.state, again.counts.total) == ("running", 5)
    assert not await store.redis.hexists(f"{store.partitions[0]}:batch:{again.id}", "read")
    assert sorted(await names(store, 10)) == ["0", "1", "2", "3", "4"]


async def test_a_batch_is_retried_once(store: Store) -> None:
    """A second retry is refused and names the new batch; with the Idempotency-Key of the first it gets that again."""
    batch = await create(store, named("a"))
    await end_next(store, "failed")
    await settle(store)
    again, is_replayed = await store.batches.retry_batch(GROUP, batch.id, key="k")
    assert not is_replayed
    assert (await shown(store, batch)).retry_at == again.id
    for key in ("", "other"):
        with pytest.raises(WrongState, match=again.id):
            await store.batches.retry_batch(GROUP, batch.id, key=key)
    assert await store.batches.retry_batch(GROUP, batch.id, key="k") == (again, True)
    assert await names(store, 9) == ["a"]


async def test_a_retry_that_was_cut_off_is_continued(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """B11 the broker dies after the first call: the next retry has the rest as members of the same batch, each once."""
    monkeypatch.setattr("broker.store.batches.RETRIED", 2)
    batch = await create(store, *(named(str(n)) for n in range(5)), **ALL)
    for _ in range(5):
        await end_next(store, "failed")
    await settle(store)
    calls, run = [], store.batches._run

    async def dies(verb: str, *words: object) -> object:
        calls.append(verb)
        if len(calls) == 2:
            raise StoreUnavailable
        return await run(verb, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(store.batches, "_run", dies)
    with pytest.raises(StoreUnavailable):
        await store.batches.retry_batch(GROUP, batch.id)
    cut = (await shown(store, batch)).retry_at
    again, _ = await store.batches.retry_batch(GROUP, batch.id)
    assert (again.id, again.state, again.counts.total) == (cut, "running", 5)
    assert sorted(await names(store, 20)) == sorted(["on_failed", "on_over", *map(str, range(5))])


async def test_a_retry_that_was_cut_off_and_closed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once somebody has closed the new batch, no more members are added to it."""
    monkeypatch.setattr("broker.store.batches.RETRIED", 1)
    batch = await create(store, named("a"), named("b"))
    for _ in range(2):
        await end_next(store, "failed")
    await settle(store)
    words = (GROUP, batch.id, "0" * 16, "", 0, 0, "", f"{'1' * 16} {'2' * 16} {'3' * 16}", "4" * 16)
    assert (await store.batches._run("batch_retry", GROUP, store.now, *words))[1] == b"more"
    await store.batches.close(GROUP, "0" * 16)
    with pytest.raises(WrongState, match="already"):
        await store.batches.retry_batch(GROUP, batch.id)
    assert (await store.batches.show(GROUP, "0" * 16)).counts.total == 1


async def test_a_retry_of_what_was_retried_already(store: Store) -> None:
    """The new batch has no members then, and has ended at once."""
    batch = await create(store, named("a"))
    job = await end_next(store, "failed")
    await settle(store)
    await store.retry(GROUP, job.id)
    again, _ = await store.batches.retry_batch(GROUP, batch.id)
    await settle(store)
    found = await shown(store, again)
    assert (found.state, found.counts.total) == ("succeeded", 0)


async def test_only_a_batch_with_failures_is_retried(store: Store) -> None:
    """One whose members have all succeeded is refused."""
    batch = await create(store, named("a"))
    await end_next(store)
    await settle(store)
    with pytest.raises(WrongState, match="failed"):
        await store.batches.retry_batch(GROUP, batch.id)


async def test_members_are_listed(store: Store) -> None:
    """By creation, page by page, and by status."""
    batch = await create(store, *(named(str(n)) for n in range(5)))
    await end_next(store)
    page, cursor = await store.batches.members(GROUP, batch.id, 3)
    rest, end = await store.batches.members(GROUP, batch.id, 3, cursor)
    assert ([job.payload for job in page + rest], end) == (["0", "1", "2", "3", "4"], "")
    succeeded, _ = await store.batches.members(GROUP, batch.id, 10, "", ["succeeded"])
    assert [job.payload for job in succeeded] == ["0"]


async def test_batches_are_listed(store: Store) -> None:
    """By creation, oldest or newest first, page by page."""
    made = [(await create(store, name=str(n))).id for n in range(3)]
    page, cursor = await store.batches.list(GROUP, 2)
    rest, end = await store.batches.list(GROUP, 2, cursor)
    assert ([batch.id for batch in page + rest], end) == (made, "")
    newest, _ = await store.batches.list(GROUP, 3, order="desc")
    assert [batch.id for batch in newest] == made[::-1]


async def test_a_repeated_call_gives_the_same_batch(store: Store) -> None:
    """An Idempotency-Key holds for a new batch and for added jobs: nothing is created twice."""
    new = NewBatch(jobs=[named("a")], open=True)
    first, was_replayed = await store.batches.create(GROUP, new, "key")
    second, is_replayed = await store.batches.create(GROUP, new, "key")
    assert (first.id, was_replayed, is_replayed) == (second.id, False, True)
    for replayed in (False, True):
        assert (await store.batches.add(GROUP, first.id, [named("b")], key="more"))[1] == replayed
    assert (await shown(store, first)).counts.total == 2


async def test_what_is_refused(store: Store) -> None:
    """An unknown batch, one of another group, and callbacks with fields that they may not have."""
    batch = await create(store, named("a"), open=True)
    for call in (store.batches.show, store.batches.close, store.batches.cancel, store.batches.retry_batch):
        for group, batch_id in ((GROUP, "0" * 16), ("other", batch.id)):
            with pytest.raises(NotFound):
                await call(group, batch_id)
    with pytest.raises(NotFound):
        await store.batches.add(GROUP, "0" * 16, [named("x")])
    with pytest.raises(NotFound):
        await store.batches.members(GROUP, "0" * 16, 1)
    with pytest.raises(Invalid, match="after"):
        await create(store, on_over=callback("x", after=["y"]))
    with pytest.raises(Invalid, match="image"):
        await create(store, on_over=CallbackJob(payload="x"))
    with pytest.raises(Invalid, match="image"):
        await create(store, NewJob(payload="x"))
    assert [found.id for found in (await store.batches.list(GROUP, 9))[0]] == [batch.id]


@pytest.mark.parametrize("partitions", [4])
async def test_a_callback_is_of_the_same_partition(store: Store) -> None:
    """A callback of a group in another partition is refused."""
    other = next(name for name in map(str, range(99)) if partition_of(name, 4) != partition_of(GROUP, 4))
    with pytest.raises(Invalid, match="partition"):
        await create(store, on_over=callback("x", group_name=other))


async def test_a_batch_has_a_limited_number_of_members(store: Store) -> None:
    """More than 100,000 members are refused, and nothing is created."""
    batch = await create(store, open=True)
    key = f"{store.partitions[0]}:batch:{batch.id}"
    await store.redis.hset(key, "total", 99_999)
    with pytest.raises(LimitReached):
        await store.batches.add(GROUP, batch.id, [named("a"), named("b")])
    await store.batches.add(GROUP, batch.id, [named("a")])
    await store.redis.hset(key, "total", 1)


async def test_a_member_that_is_gone_counts(store: Store) -> None:
    """B10 a member without a record does not keep a cancelled batch from its end."""
    batch = await create(store, named("a"), named("b"))
    [gone, _], _ = await store.batches.members(GROUP, batch.id, 5)
    p = store.partitions[0]
    await store.redis.hdel(f"{p}:jobs", gone.id)
    await store.redis.zrem(f"{p}:group:{GROUP}:jobs", gone.id)
    await store.redis.zrem(f"{p}:group:{GROUP}:queued", gone.id)
    await store.batches.cancel(GROUP, batch.id)
    await settle(store)
    found = await shown(store, batch)
    assert (found.state, found.counts.cancelled) == ("cancelled", 2)


async def test_a_deleted_group_has_no_batches(store: Store) -> None:
    """Its batches are deleted with it."""
    batch = await create(store, named("a"))
    await end_next(store)
    await settle(store)
    await store.groups.delete_group(GROUP)
    with pytest.raises(NotFound):
        await shown(store, batch)
    left = [key.decode() async for key in store.redis.scan_iter(f"{store.partitions[0]}:*")]
    assert not [key for key in left if "batch" in key or GROUP in key]


async def test_batches_of_a_deleted_group_go_step_by_step(store: Store, run: Run) -> None:
    """A call deletes as many as it may and says how many there still are; with the last one the group is gone."""
    for _ in range(3):
        await create(store)
    await settle(store)
    steps = [(await run("delete_group", store.now, GROUP, limit))[1] for limit in (0, 1, 1, 1)]
    assert steps == [3, 2, 1, 0]


async def test_members_wait_for_others(store: Store) -> None:
    """A member may wait for another one; a failure cancels it, and both count."""
    batch = await create(store, named("a", ref="a"), named("b", after=["a"]), **ALL)
    await end_next(store, "failed")
    await settle(store)
    found = await shown(store, batch)
    assert (found.counts.failed, found.counts.cancelled, set(found.callbacks)) == (1, 1, {"on_failed", "on_over"})


async def test_a_member_replaced_by_a_unique_key_stays_a_member(store: Store) -> None:
    """A job that exists already is no member; one that gets the payload of another stays one."""
    batch = await create(store, named("a", unique=Unique(key="k")), open=True)
    await store.enqueue(GROUP, [named("b", unique=Unique(key="k", on_conflict="replace"))])
    await store.batches.add(GROUP, batch.id, [named("c", unique=Unique(key="k"))])
    await store.batches.close(GROUP, batch.id)
    job = await end_next(store)
    assert (job.payload, job.batch.id) == ("b", batch.id)
    await settle(store)
    found = await shown(store, batch)
    assert (found.state, found.counts.total) == ("succeeded", 1)


async def test_each_effect_happens_once_with_two_brokers(store: Store, other: Store) -> None:
    """B4 two brokers settle in turns, one entry a step: each callback is created once."""
    batch = await create(store, *(named(str(n)) for n in range(4)), **ALL)
    for how in ("failed", "succeeded", "failed", "succeeded"):
        await end_next(store, how)
    while (await store.maintenance.settle(1)).n + (await other.maintenance.settle(1)).n:
        pass
    found = await shown(store, batch)
    assert (found.counts.over, set(found.callbacks)) == (4, {"on_failed", "on_over"})
    assert sorted(await names(store, 10)) == ["on_failed", "on_over"]


async def test_the_worker_of_a_cancelled_member_is_notified(store: Store) -> None:
    """The worker of a member that a cancelled batch ends is notified, and its late report is refused."""
    batch = await create(store, named("a"))
    [job] = await store.next(1)
    await store.batches.cancel(GROUP, batch.id)
    await settle(store)
    notices = await store.redis.zrange(f"{store.partitions[0]}:notices", 0, -1)
    assert notices == [f"cancelled {GROUP} {job.id}".encode()]
    with pytest.raises(WrongState):
        await store.succeed(GROUP, job.id, job.lease)
    assert (await shown(store, batch)).counts.over == 1


async def test_running_is_unused(store: Store) -> None:
    """A job of no batch has no field for it."""
    job = await running(store)
    assert not job.batch
    assert b"batch" not in await store.redis.hget(f"{store.partitions[0]}:jobs", job.id)


async def broken(store: Store) -> list[str]:
    """What a check of everything finds and repairs; after the next settlement it finds nothing."""
    found = [finding.what for finding in await check(store, is_repair=True)]
    await settle(store)
    assert await check(store) == []
    return found


async def test_check_counts_members_again(store: Store) -> None:
    """A batch with a wrong total is repaired, and ends like any other."""
    batch = await create(store, named("a"), **ALL)
    await store.redis.hset(f"{store.partitions[0]}:batch:{batch.id}", "total", 3)
    [problem] = await broken(store)
    assert "counts 3 members and has 1" in problem
    await end_next(store)
    await settle(store)
    assert (await shown(store, batch)).state == "succeeded"


async def test_a_step_counts_batches_without_members(store: Store) -> None:
    """One that is gone counts as one member, so a step is bounded whatever is noted."""
    batch = await create(store, named("a"), named("b"))
    await store.batches.cancel(GROUP, batch.id)
    await store.redis.zadd(keys.settle(store.partitions[0]), {"batch:none": 0})
    await store.maintenance.settle(2)
    assert (await shown(store, batch)).counts.cancelled == 1


async def test_check_ends_a_batch_that_waited_for_too_many_members(store: Store) -> None:
    """All of its members have ended: it ends with the settlement after the repair."""
    batch = await create(store, named("a"), **ALL)
    await store.redis.hset(f"{store.partitions[0]}:batch:{batch.id}", "total", 3)
    await end_next(store)
    await settle(store)
    assert (await shown(store, batch)).state == "running"
    assert len(await broken(store)) == 1
    assert (await shown(store, batch)).state == "succeeded"


async def test_check_finds_a_member_that_is_not_counted(store: Store) -> None:
    """A member whose end was lost to the batch is settled once more, and the callbacks follow."""
    batch = await create(store, named("a"), **ALL)
    job = await end_next(store)
    p = store.partitions[0]
    await store.redis.zrem(f"{p}:settle", job.id)
    assert await broken(store)
    assert set((await shown(store, batch)).callbacks) == {"on_succeeded", "on_over"}


async def test_check_finds_an_end_that_is_not_settled(store: Store) -> None:
    """A closed batch without unfinished members is in `settle`, or has ended."""
    batch = await create(store, **ALL)
    await store.redis.zrem(f"{store.partitions[0]}:settle", f"batch:{batch.id}")
    [problem] = await broken(store)
    assert "not settled" in problem
    assert set((await shown(store, batch)).callbacks) == {"on_succeeded", "on_over"}


async def test_check_removes_a_batch_that_is_gone(store: Store) -> None:
    """An entry in the list of batches without a batch is removed."""
    batch = await create(store, open=True)
    await store.redis.unlink(f"{store.partitions[0]}:batch:{batch.id}")
    [problem] = await broken(store)
    assert "gone" in problem


@pytest.mark.parametrize("is_settled", [True, False])
async def test_delete_group_settles_closed_batches_first(store: Store, *, is_settled: bool) -> None:
    """Deleting the group of a batch that was closed just before loses no callback in another group."""
    batch = await create(store, named("a"), open=True, on_over=callback("bye", group_name="notes"))
    await end_next(store)
    if is_settled:
        await settle(store)
    await store.batches.close(GROUP, batch.id)
    await store.groups.delete_group(GROUP)
    assert await names(store, 5) == ["bye"]
