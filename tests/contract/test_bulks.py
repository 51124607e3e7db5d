"""Bulks in the store: the owner of one, its progress, and its end."""

import pytest

from broker.core.errors import IdempotencyMismatch, LeaseLost, LimitReached, NotFound, TitanError
from broker.models.bulk import KEPT_S, NewBulk, RetryChanges
from broker.resp import keys
from broker.store.bulks import LEASE_MS
from broker.store.format.bulk_record import BulkProgress, BulkSpec, KeptBulk
from tests.contract.building import GROUP, Run, cancelled, delayed, failed, new, now_ms, queued, wait
from tests.stores import Store

SPEC = BulkSpec(group=GROUP, given=NewBulk(action="cancel", rate=5), by="ann", about=7)


async def begun(store: Store, owner: str = "us", key: str = "", spec: BulkSpec = SPEC) -> KeptBulk:
    return (await store.bulks.begin(spec, owner, key)).bulk


async def taken(store: Store, owner: str = "them") -> str:
    kept = await store.bulks.take(owner)
    return kept.id if kept else ""


async def test_bulk_begins(store: Store) -> None:
    """A new bulk runs, has its spec and its time, and is listed."""
    kept = await begun(store)
    assert (kept.spec, kept.progress, kept.state, kept.n_running) == (SPEC, BulkProgress(), "running", 1)
    assert (kept.created_at, kept.noted_at, kept.ended_at) == (now_ms(store), now_ms(store), 0)
    assert await store.bulks.show(kept.id) == kept
    assert await store.bulks.list(10) == ([kept], "")


async def test_bulk_note_keeps_progress(store: Store) -> None:
    """A note keeps how far the bulk is, and when that was."""
    kept = await begun(store)
    wait(store, 3)
    progress = BulkProgress(cursor="c", slice=["x"], looked=4, matched=3, done=2, skipped={"gone": 1}, why="w")
    noted = await store.bulks.note(kept.id, "us", progress)
    assert (noted.progress, noted.state, noted.noted_at) == (progress, "running", now_ms(store))
    assert await store.bulks.show(kept.id) == noted


async def test_bulk_is_owned_for_ten_seconds(store: Store) -> None:
    """Nobody takes a bulk while its owner notes progress; 10 s after the last note another broker does, once."""
    kept = await begun(store)
    wait(store, 8)
    await store.bulks.note(kept.id, "us", BulkProgress(done=1))
    wait(store, LEASE_MS / 1000 - 0.001)
    assert await taken(store) == ""
    wait(store, 0.001)
    assert await taken(store) == kept.id
    assert await taken(store, "others") == ""
    with pytest.raises(LeaseLost):
        await store.bulks.note(kept.id, "us", BulkProgress(done=5))
    assert (await store.bulks.note(kept.id, "them", BulkProgress(done=2))).progress.done == 2


async def test_bulk_take_after_the_clock_went_back(store: Store) -> None:
    """A lease that ends later than any lease can is none."""
    kept = await begun(store)
    wait(store, -3600)
    assert await taken(store) == kept.id
    assert await taken(store) == ""


async def test_bulk_release(store: Store) -> None:
    """A bulk that its broker releases is taken at once, with its progress."""
    kept = await begun(store)
    await store.bulks.release(kept.id, "us", BulkProgress(done=3))
    again = await store.bulks.take("them")
    assert again is not None
    assert (again.id, again.progress.done) == (kept.id, 3)


async def test_bulk_take_of_a_bulk_that_is_gone(store: Store) -> None:
    """One whose hash was evicted or deleted runs no longer, and the next one is taken."""
    gone, kept = await begun(store), await begun(store)
    await store.redis.delete(keys.bulk(store.partitions[0], gone.id))
    wait(store, 10)
    again = await store.bulks.take("them")
    assert again is not None
    assert (again.id, again.n_running) == (kept.id, 1)
    assert await taken(store) == ""


async def test_bulk_take_of_several(store: Store) -> None:
    """Each call takes one."""
    made = {(await begun(store)).id for _ in range(3)}
    wait(store, 10)
    assert {await taken(store) for _ in range(3)} == made
    assert await taken(store) == ""


EXTENDED = [
    NewBulk(action="retry", set=RetryChanges(timeout=5)),
    NewBulk(action="retry", ids=["0" * 16]),
    NewBulk(action="retry", completed_after="2026-01-02T00:00:00Z"),
    NewBulk(action="delete", completed_before="2026-01-02T00:00:00Z"),
]


@pytest.mark.parametrize("given", EXTENDED, ids=lambda given: given.action)
async def test_bulk_that_older_versions_do_not_know(store: Store, run: Run, given: NewBulk) -> None:
    """One with a field that came later is not in the set where older versions look for bulks without an owner.

    It is taken, with that field, by a broker that knows its level, and by no other.
    """
    p = store.partitions[0]
    plain, later = await begun(store), await begun(store, spec=BulkSpec(group=GROUP, given=given))
    assert await store.redis.zrange(keys.bulks_running(p), 0, -1) == [plain.id.encode()]
    assert await store.redis.zrange(keys.bulks_extended(p), 0, -1) == [later.id.encode()]
    wait(store, LEASE_MS / 1000)
    for found in ([plain.id.encode()], []):
        assert (await run("bulk_take", store.now, "older", LEASE_MS, 0))[:1] == found
    again = await store.bulks.take("them")
    assert again is not None
    assert (again.id, again.spec.given, again.n_running) == (later.id, given, 2)


async def test_bulk_of_a_level_that_is_not_known(store: Store, run: Run) -> None:
    """A bulk of a newer version stays where it is, and does not hide those behind it."""
    given = NewBulk(action="retry", ids=["0" * 16])
    newer, known = [await begun(store, spec=BulkSpec(group=GROUP, given=given)) for _ in range(2)]
    await store.redis.hset(keys.bulk(store.partitions[0], newer.id), "level", 2)
    wait(store, LEASE_MS / 1000)
    assert await taken(store) == known.id
    assert await taken(store) == ""
    assert (await run("bulk_take", store.now, "newer", LEASE_MS, 2))[0] == newer.id.encode()


async def test_bulk_with_a_level_is_like_any_other(store: Store) -> None:
    """It is owned, counts among those that run, is released, and ends."""
    given = NewBulk(action="retry", ids=["0" * 16])
    made = [await begun(store, spec=BulkSpec(group=GROUP, given=given)) for _ in range(5)]
    with pytest.raises(LimitReached):
        await begun(store)
    kept = made[0]
    wait(store, 8)
    await store.bulks.note(kept.id, "us", BulkProgress(done=1))
    wait(store, 8)
    assert {await taken(store) for _ in range(4)} == {other.id for other in made[1:]}
    assert await taken(store) == ""
    await store.bulks.release(kept.id, "us", BulkProgress(done=2))
    assert await taken(store) == kept.id
    for number, other in enumerate(made):
        over = await store.bulks.note(other.id, "them", BulkProgress(), "done")
        assert over.n_running == 4 - number
        left_ms = await store.redis.pttl(keys.bulks(store.partitions[0]))
        assert (left_ms == -1) == (over.n_running > 0)


async def test_spec_of_a_bulk_is_as_ever(store: Store) -> None:
    """What older versions know has the same text, so that they find the same Idempotency-Key."""
    kept = await begun(store)
    given = (
        b'{"status":[],"image":null,"reason":null,"cause":null,"text":null,"created_before":null,"created_after":null,'
        b'"older_than":null,"retried":null,"action":"cancel","rate":5,"limit":null,"at_most":null,"dry_run":false}'
    )
    spec = await store.redis.hget(keys.bulk(store.partitions[0], kept.id), "spec")
    assert spec == b'{"group":"%b","given":%b,"by":"ann","about":7}' % (GROUP.encode(), given)
    assert await store.redis.hget(keys.bulk(store.partitions[0], kept.id), "level") is None


@pytest.mark.parametrize("ended", ["done", "stopped"])
async def test_bulk_ends(store: Store, ended: str) -> None:
    """A bulk that has ended is kept for 7 days, and nobody owns or takes it."""
    kept = await begun(store)
    wait(store, 2)
    over = await store.bulks.note(kept.id, "us", BulkProgress(done=9), ended)
    assert (over.state, over.ended_at, over.n_running) == (ended, now_ms(store), 0)
    wait(store, 60)
    assert await taken(store) == ""
    with pytest.raises(LeaseLost):
        await store.bulks.note(kept.id, "us", BulkProgress())
    left_ms = await store.redis.pttl(keys.bulk(store.partitions[0], kept.id))
    assert KEPT_S * 1000 - 60_000 < left_ms <= KEPT_S * 1000


async def test_bulks_expire(store: Store) -> None:
    """When no bulk runs, all that is kept of bulks expires; while one runs, the list stays."""
    p = store.partitions[0]
    first, second = await begun(store), await begun(store)
    await store.bulks.note(first.id, "us", BulkProgress(), "done")
    assert await store.redis.pttl(keys.bulks(p)) == -1
    await store.bulks.note(second.id, "us", BulkProgress(), "stopped")
    found = [name async for name in store.redis.scan_iter(f"{p}:bulk*")]
    assert len(found) == 3
    for name in found:
        assert KEPT_S * 1000 - 60_000 < await store.redis.pttl(name) <= KEPT_S * 1000
    await begun(store)
    assert await store.redis.pttl(keys.bulks(p)) == -1


async def test_bulk_stop(store: Store) -> None:
    """The owner sees with its next note that it must stop; the bulk says who asked."""
    kept = await begun(store)
    stopped = await store.bulks.stop(kept.id, "bob")
    assert (stopped.state, stopped.stopped_by) == ("stopping", "bob")
    assert (await store.bulks.stop(kept.id, "carl")).stopped_by == "bob"
    assert (await store.bulks.note(kept.id, "us", BulkProgress())).state == "stopping"
    await store.bulks.note(kept.id, "us", BulkProgress(), "stopped")
    assert (await store.bulks.stop(kept.id, "dora")).state == "stopped"


async def test_bulks_that_run_at_once(store: Store) -> None:
    """Five may run; when one has ended another may begin."""
    made = [await begun(store) for _ in range(5)]
    assert made[-1].n_running == 5
    with pytest.raises(LimitReached):
        await begun(store)
    await store.bulks.note(made[0].id, "us", BulkProgress(), "done")
    assert (await begun(store)).n_running == 5


async def test_bulk_again_with_the_same_key(store: Store) -> None:
    """A repeat gets the first bulk, whatever became of it, and makes none; another body is refused."""
    first = await begun(store, key="k")
    await store.bulks.note(first.id, "us", BulkProgress(done=1), "done")
    again = await store.bulks.begin(SPEC, "them", "k")
    assert (again.bulk.id, again.bulk.state, again.is_replayed) == (first.id, "done", True)
    with pytest.raises(IdempotencyMismatch):
        await begun(store, key="k", spec=BulkSpec(group=GROUP, given=NewBulk(action="retry")))
    assert (await begun(store, key="other")).id != first.id
    assert (await begun(store)).id != first.id
    assert len((await store.bulks.list(10))[0]) == 3


async def test_bulk_without_a_key(store: Store) -> None:
    """A bulk without a key is no repeat of another one, and leaves no idempotency record."""
    for _ in range(2):
        assert not (await store.bulks.begin(SPEC, "us", "")).is_replayed
    assert [key async for key in store.redis.scan_iter(f"{store.partitions[0]}:answer*", 1000)] == []


async def test_bulk_is_shown_among_others(store: Store) -> None:
    """Each is shown by its id, whatever began after it."""
    made = [await begun(store, owner) for owner in ("us", "them")]
    assert [(await store.bulks.show(kept.id)).id for kept in made] == [kept.id for kept in made]


async def test_bulk_that_does_not_exist(store: Store) -> None:
    """It is not found, to show, to note and to stop."""
    for call in (
        store.bulks.show("0" * 16),
        store.bulks.stop("0" * 16),
        store.bulks.note("0" * 16, "us", BulkProgress()),
    ):
        with pytest.raises(NotFound):
            await call
    assert await store.bulks.list(10) == ([], "")


async def test_bulks_in_pages(store: Store) -> None:
    """The newest is first; cursors lead to the oldest, also among bulks of the same ms."""
    made = []
    for number in range(7):
        wait(store, number % 2)
        kept = await begun(store)
        await store.bulks.note(kept.id, "us", BulkProgress(), "done")
        made.append(kept.id)
    found, cursor, pages = [], "", 0
    while cursor or not pages:
        page, cursor = await store.bulks.list(2, cursor)
        found += [kept.id for kept in page]
        pages += 1
    assert (found, pages) == (made[::-1], 4)


async def test_bulks_are_forgotten(store: Store) -> None:
    """Bulks of more than 7 days ago are no longer listed."""
    kept = await begun(store)
    await store.bulks.note(kept.id, "us", BulkProgress(), "done")
    wait(store, KEPT_S + 1)
    new_one = await begun(store)
    assert [one.id for one in (await store.bulks.list(10))[0]] == [new_one.id]
    assert await store.redis.zcard(keys.bulks(store.partitions[0])) == 1


async def test_bulks_keep_the_newest(store: Store) -> None:
    """With the new one 1,000 are listed: the oldest goes."""
    key, at = keys.bulks(store.partitions[0]), now_ms(store) - 1000
    await store.redis.zadd(key, {f"{number:04}": at + number for number in range(1000)})
    kept = await begun(store)
    found = [member.decode() for member in await store.redis.zrange(key, 0, -1)]
    assert found == [*(f"{number:04}" for number in range(1, 1000)), kept.id]


async def test_bulks_list_those_that_are_kept(store: Store) -> None:
    """One whose hash has expired is left out."""
    first, second = await begun(store), await begun(store)
    await store.bulks.note(first.id, "us", BulkProgress(), "done")
    await store.redis.delete(keys.bulk(store.partitions[0], first.id))
    assert [one.id for one in (await store.bulks.list(10))[0]] == [second.id]


def words(outcomes: list[TitanError | None]) -> list[str]:
    return [outcome.code if outcome else "" for outcome in outcomes]


@pytest.mark.parametrize("partitions", [1, 3])
async def test_act(store: Store) -> None:
    """Each job has its own outcome, in order, and the rest is done when one is refused."""
    bad, waiting, later = await failed(store), await queued(store), await delayed(store)
    ids = [bad.id, "0" * 16, waiting.id, later.id]
    none = "not_found"
    acted = await store.bulks.act("promote", GROUP, ids, "ann")
    assert words(acted.outcomes) == ["wrong_state", none, "wrong_state", ""]
    assert words((await store.bulks.act("cancel", GROUP, ids, "ann")).outcomes) == ["wrong_state", none, "", ""]
    assert words((await store.bulks.act("retry", GROUP, ids[:3], "ann")).outcomes) == ["", none, ""]
    again = await store.bulks.act("retry", GROUP, ids[:1], "ann")
    assert "retried already" in str(again.outcomes[0])
    assert words((await store.bulks.act("delete", GROUP, ids, "ann")).outcomes) == ["", none, "", ""]
    assert len((await store.list(GROUP, 10, statuses=["queued"]))[0]) == 2


async def test_act_says_how_long_the_store_worked(store: Store) -> None:
    """The time is measured by the store's own clock."""
    jobs = (await store.enqueue(GROUP, [new()] * 200)).jobs
    acted = await store.bulks.act("cancel", GROUP, [job.id for job in jobs], "")
    assert acted.outcomes == [None] * 200
    assert 0 < acted.store_s < 30


async def test_act_promote_notes_who(store: Store) -> None:
    """The history of a job says who began the bulk."""
    job = await delayed(store)
    await store.bulks.act("promote", GROUP, [job.id], "ann")
    assert b'"by":"ann"' in await store.redis.hget(keys.job(store.partitions[0], job.id), "history")
    assert (await cancelled(store)).id
