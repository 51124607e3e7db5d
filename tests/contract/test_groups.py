"""`configure`, `group` and `groups`: settings, counts and pages."""

import pytest

from broker.core.errors import Invalid, NotFound
from broker.models.groups import Counts, GroupSettings, Retentions
from broker.store.pagination import PIECE
from tests.contract.building import (
    GROUP,
    cancelled,
    clock,
    configure,
    dump,
    enqueue,
    of_each_status,
    queued,
    running,
    spread,
    started,
    succeeded,
    wait,
)
from tests.stores import Store

FULL = {
    "image": "post",
    "env_vars": {"NAME": "välue", "OTHER": ""},
    "max_concurrency": 1_000_000,
    "rate_limit": 1_000_000,
    "paused": True,
    "delivery_limit": 1000,
    "require_lease": True,
    "retention": Retentions(succeeded=0, failed=315_360_000, cancelled=5),
}
NOT_SET = GroupSettings(image="", env_vars={}, paused=False, require_lease=False, delivery_limit=5)
both = pytest.mark.parametrize("partitions", [1, 3])


async def test_group_that_is_not_there(store: Store) -> None:
    """A group without a job or a setting is not found, and is not made by asking."""
    await queued(store, "other")
    before = await dump(store)
    with pytest.raises(NotFound):
        await store.groups.show(GROUP)
    assert await dump(store) == before


async def test_group_of_a_first_job(store: Store) -> None:
    """A group that its first job made has the defaults."""
    await queued(store)
    group = await store.groups.show(GROUP)
    assert (group.name, group.created_at, group.counts) == (GROUP, clock(store), Counts(queued=1))
    assert (group.paused, group.delivery_limit, group.require_lease) == (False, 5, False)
    assert group.retention == Retentions(succeeded=86_400, failed=604_800, cancelled=86_400)
    assert [bool(value) for value in (group.image, group.env_vars, group.max_concurrency)] == [False] * 3


async def test_configure_makes_the_group(store: Store) -> None:
    """A group may be there before its first job."""
    made = await store.configure(GROUP, GroupSettings(**FULL))
    assert made == await store.groups.show(GROUP)
    assert {name: getattr(made, name) for name in FULL} == FULL
    assert (made.created_at, made.counts) == (clock(store), Counts())


async def test_configure_again(store: Store) -> None:
    """Settings are given as a whole: what is not given has its default again. Time and jobs stay."""
    await queued(store)
    made = await store.groups.show(GROUP)
    wait(store, 5)
    await store.configure(GROUP, GroupSettings(**FULL))
    assert (await store.configure(GROUP, GroupSettings(max_concurrency=3))).max_concurrency == 3
    assert await store.configure(GROUP, GroupSettings()) == made


async def test_configure_to_the_defaults(store: Store) -> None:
    """A default that is given by value, or an empty text, is the same as one that is not given."""
    without = await store.configure(GROUP, GroupSettings())
    await store.configure(GROUP, GroupSettings(**FULL))
    assert await store.configure(GROUP, NOT_SET) == without


async def test_configure_part_of_the_retention(store: Store) -> None:
    """A retention that is given for one status leaves the defaults of the others."""
    group = await store.configure(GROUP, GroupSettings(retention=Retentions(failed=9)))
    assert group.retention == Retentions(succeeded=86_400, failed=9, cancelled=86_400)


async def test_configure_leaves_other_groups(store: Store) -> None:
    """Settings are of one group."""
    await queued(store, "other")
    other = await store.groups.show("other")
    await configure(store, **FULL)
    assert await store.groups.show("other") == other


async def test_configure_a_name_like_a_set(store: Store) -> None:
    """Groups named as parts of keys are groups as any."""
    for name in ("jobs", "queued", "ready", "due", "0"):
        await configure(store, name, max_concurrency=2)
        await queued(store, name)
        assert (await store.groups.show(name)).counts == Counts(queued=1)
    assert len(await store.next(10)) == 5


async def test_group_counts(store: Store) -> None:
    """Each status is counted separately, and a job in one status only."""
    made = await of_each_status(store)
    await enqueue(store, delay=1)
    counts = {status: len(jobs) for status, jobs in made.items()} | {"delayed": len(made["delayed"]) + 1}
    assert (await store.groups.show(GROUP)).counts == Counts(**counts)


async def test_group_counts_after_moves(store: Store) -> None:
    """Counts follow the jobs."""
    job = await started(store)
    assert (await store.groups.show(GROUP)).counts == Counts(running=1)
    await store.release(GROUP, job.id, job.lease, 5)
    assert (await store.groups.show(GROUP)).counts == Counts(delayed=1)
    await store.cancel(GROUP, job.id)
    assert (await store.groups.show(GROUP)).counts == Counts(cancelled=1)
    await store.remove(GROUP, job.id)
    assert (await store.groups.show(GROUP)).counts == Counts()


@both
@pytest.mark.parametrize("n", [1, 2, 5, 1000])
async def test_groups_pages(store: Store, n: int) -> None:
    """Page by page every group comes once, by creation and inside a millisecond by name, over all partitions."""
    names = [*spread(store, 3), "Z", "a", "B", "_"]
    for number, name in enumerate(names):
        wait(store, 0.001 * (number % 2))
        await queued(store, name)
    found, cursor = await store.groups.list(n)
    seen = list(found)
    while cursor:
        assert len(found) == n
        found, cursor = await store.groups.list(n, cursor)
        seen += found
    assert sorted(group.name for group in seen) == sorted(names)
    assert [(group.created_at, group.name) for group in seen] == sorted((g.created_at, g.name) for g in seen)


@both
async def test_groups_while_groups_come(store: Store) -> None:
    """New groups between two pages come last, and no other is missed or twice."""
    names = [f"group-{number}" for number in range(5)]
    for name in names[:4]:
        await queued(store, name)
    found, cursor = await store.groups.list(2)
    wait(store, 1)
    await queued(store, names[4])
    rest, end = await store.groups.list(10, cursor)
    assert [group.name for group in found + rest] == names
    assert end == ""


async def test_groups_shows_whole_groups(store: Store) -> None:
    """The list shows each group as `group` does."""
    await configure(store, **FULL)
    await running(store, "other")
    await enqueue(store, "other", delay=3)
    groups, _ = await store.groups.list(10)
    assert groups == [await store.groups.show(group.name) for group in groups]
    assert len(groups) == 2


async def test_groups_with_a_cursor_of_ones_own(store: Store) -> None:
    """A cursor that no list gave is refused by name."""
    with pytest.raises(Invalid) as refused:
        await store.groups.list(10, "x")
    assert refused.value.fields == "cursor"


async def test_group_stays_without_jobs(store: Store) -> None:
    """A group whose jobs are all gone keeps its settings."""
    await configure(store, image="post")
    for bring in (cancelled, succeeded):
        job = await bring(store)
        await store.remove(GROUP, job.id)
    assert (await store.groups.show(GROUP)).image == "post"


async def test_groups_pages_of_names_that_begin_alike(store: Store) -> None:
    """Of groups created in one millisecond, the pages are in the order of names, and none is left out."""
    names = ["a", "aa", "aaa", "ab", "b"]
    for name in reversed(names):
        await queued(store, name)
    seen: list[str] = []
    cursor = ""
    while not seen or cursor:
        page, cursor = await store.groups.list(1, cursor)
        seen += [group.name for group in page]
    assert seen == names


@pytest.mark.parametrize("partitions", [1, 3])
async def test_groups_in_pieces(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of more groups than one script reads is whole, and its cursor leads to the rest."""
    monkeypatch.setattr("broker.store.groups.ROUND_S", 60)  # a slow machine must not cut a page short
    names = [f"group-{number:03}" for number in range(2 * PIECE + 3)]
    for name in names:
        await store.configure(name, GroupSettings())
    for n in (PIECE, PIECE + 1, 2 * PIECE, len(names)):
        page, cursor = await store.groups.list(n)
        assert [group.name for group in page] == names[:n]
        assert bool(cursor) == (n < len(names))
        if cursor:
            rest, end = await store.groups.list(1000, cursor)
            assert ([group.name for group in rest], end) == (names[n:], "")
