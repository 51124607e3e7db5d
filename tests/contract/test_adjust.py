"""Adjust: some settings of a group change, the others stay; a pause says since when, by whom and why."""

from typing import Any

import pytest
from msgspec import UNSET

from broker.core.errors import Changed
from broker.models.groups import GroupChanges, GroupSettings, RetentionChanges, Retentions
from broker.resp import keys
from broker.store.format.exported import read_line
from tests.contract.building import GROUP, cancelled, clock, configure, dump, ids, queued, reap_after, running, wait
from tests.stores import Store

FULL = {
    "image": "post",
    "env_vars": {"NAME": "välue"},
    "max_concurrency": 7,
    "rate_limit": 8,
    "delivery_limit": 9,
    "require_lease": True,
    "retention": Retentions(succeeded=1, failed=2, cancelled=3),
}
OTHERS: dict[str, Any] = {
    "image": "fax",
    "env_vars": {"OTHER": "1"},
    "max_concurrency": 70,
    "rate_limit": 80,
    "delivery_limit": 90,
    "require_lease": False,
    "note": "read me",
}


async def adjust(store: Store, by: str = "", if_match: str = "", **changes: Any) -> Any:
    """Change these settings; the group after that."""
    return (await store.groups.adjust(GROUP, GroupChanges(**changes), by, if_match)).group


def values(group: Any) -> dict[str, Any]:
    """The settings that FULL has, as a group shows them."""
    return {name: getattr(group, name) for name in (*FULL, "note", "paused")}


@pytest.mark.parametrize("name", OTHERS)
async def test_adjust_one_setting(store: Store, name: str) -> None:
    """The setting that is given changes, and no other one; the answer is what the group then shows."""
    before = values(await store.configure(GROUP, GroupSettings(**FULL)))
    after = await adjust(store, **{name: OTHERS[name]})
    assert values(after) == before | {name: OTHERS[name]}
    assert await store.groups.show(GROUP) == after


@pytest.mark.parametrize("name", OTHERS)
async def test_adjust_to_the_default(store: Store, name: str) -> None:
    """Null is the default, which the store does not keep."""
    await adjust(store, **OTHERS)
    await adjust(store, **{name: None})
    fields = await store.redis.hgetall(keys.group(store.partitions[0], GROUP))
    assert {field.decode() for field in fields} == OTHERS.keys() - {name, "require_lease"}


async def test_adjust_retention_by_status(store: Store) -> None:
    """Each status has its own time: one that is not given stays, null is the default, and null for all resets all."""
    await store.configure(GROUP, GroupSettings(**FULL))
    group = await adjust(store, retention=RetentionChanges(failed=20, cancelled=None))
    assert group.retention == Retentions(succeeded=1, failed=20)
    assert (await adjust(store, retention=None)).retention == Retentions()


async def test_adjust_makes_the_group(store: Store) -> None:
    """A group may be adjusted before its first job; without changes it has the defaults."""
    group = await adjust(store)
    assert (group.created_at, group.paused, group.image) == (clock(store), False, UNSET)


async def test_adjust_keeps_created_at(store: Store) -> None:
    """A group that exists keeps the time of its creation."""
    first = await adjust(store)
    wait(store, 5)
    assert (await adjust(store, image="x")).created_at == first.created_at


async def test_adjust_pauses(store: Store) -> None:
    """A pause has its time, actor and note; another change, or a second pause, keeps them."""
    await queued(store)
    group = await adjust(store, "ann", paused=True, note="provider down")
    since = clock(store)
    assert (group.paused, group.paused_at, group.paused_by, group.note) == (True, since, "ann", "provider down")
    assert await store.next(1) == []
    wait(store, 5)
    for changes in ({"image": "x"}, {"paused": True}):
        group = await adjust(store, "bob", **changes)
        assert (group.paused_at, group.paused_by, group.note) == (since, "ann", "provider down")


async def test_adjust_pauses_without_an_actor(store: Store) -> None:
    """At a broker without tokens a pause has a time alone."""
    group = await adjust(store, paused=True)
    assert (group.paused_at, group.paused_by, group.note) == (clock(store), UNSET, UNSET)


async def test_adjust_resumes(store: Store) -> None:
    """When the pause ends its time, actor and note go; jobs are dispatched again."""
    job = await queued(store)
    await adjust(store, "ann", paused=True, note="provider down")
    group = await adjust(store, "bob", paused=False)
    assert (group.paused, group.paused_at, group.paused_by, group.note) == (False, UNSET, UNSET, UNSET)
    assert ids(await store.next(1)) == [job.id]


async def test_adjust_resumes_with_a_note(store: Store) -> None:
    """A note that comes with the end of a pause stays; so does one of a group that was not paused."""
    await adjust(store, "ann", paused=True, note="provider down")
    assert (await adjust(store, paused=False, note="all is well")).note == "all is well"
    assert (await adjust(store, image="x")).note == "all is well"


async def test_configure_keeps_the_pause_that_goes_on(store: Store) -> None:
    """PUT with `paused` keeps since when and why the group is paused, and PUT without ends that."""
    await adjust(store, "ann", paused=True, note="provider down")
    since = clock(store)
    wait(store, 5)
    group = await store.configure(GROUP, GroupSettings(paused=True))
    assert (group.paused_at, group.paused_by, group.note) == (since, "ann", "provider down")
    group = await store.configure(GROUP, GroupSettings())
    assert (group.paused_at, group.paused_by, group.note) == (UNSET, UNSET, UNSET)


async def test_configure_keeps_the_note(store: Store) -> None:
    """PUT replaces settings; the note of a group that was not paused is none and stays."""
    await adjust(store, note="of the press office")
    assert (await store.configure(GROUP, GroupSettings(image="x"))).note == "of the press office"


async def test_configure_pauses(store: Store) -> None:
    """PUT with `paused` notes since when and by whom, as PATCH does; a second one keeps that."""
    for by in ("ann", "bob"):
        group = await store.groups.configure(GROUP, GroupSettings(paused=True), by)
        since = clock(store, 0 if by == "ann" else -5)
        assert (group.paused, group.paused_at, group.paused_by, group.note) == (True, since, "ann", UNSET)
        wait(store, 5)
    group = await store.groups.configure(GROUP, GroupSettings(paused=True, image="x"), "carl")
    assert (group.paused_by, group.image) == ("ann", "x")


async def test_configure_pauses_without_an_actor(store: Store) -> None:
    """At a broker without tokens a pause has a time alone; PUT without `paused` writes what it has alone."""
    group = await store.groups.configure(GROUP, GroupSettings(paused=True))
    assert (group.paused_at, group.paused_by, group.note) == (clock(store), UNSET, UNSET)
    await store.groups.configure(GROUP, GroupSettings(image="x"))
    assert await store.redis.hgetall(keys.group(store.partitions[0], GROUP)) == {b"image": b"x"}


async def test_configure_pauses_with_a_note(store: Store) -> None:
    """The note of a group that was not paused does not become the note of a pause that begins with PUT."""
    await adjust(store, note="of the press office")
    assert (await store.groups.configure(GROUP, GroupSettings(paused=True), "ann")).note is UNSET


async def test_adjust_if_match(store: Store) -> None:
    """A change with the tag of what the group has is made; each change of a setting or the note has another tag."""
    tags = {(await store.groups.adjust(GROUP, GroupChanges())).tag}
    for changes in ({"image": "x"}, {"note": "y"}, {"paused": True}, {"image": "z"}):
        shown = await store.groups.show_tagged(GROUP)
        changed = await store.groups.adjust(GROUP, GroupChanges(**changes), "", f'"other" , {shown.tag}')  # type: ignore[arg-type]
        assert changed.tag == (await store.groups.show_tagged(GROUP)).tag
        tags.add(changed.tag)
    assert len(tags) == 5


async def test_adjust_if_match_of_an_older_state(store: Store) -> None:
    """With the tag of settings that have changed nothing is changed; jobs that come and go do not change the tag."""
    first = (await store.groups.adjust(GROUP, GroupChanges(image="x"))).tag
    await queued(store)
    assert (await store.groups.show_tagged(GROUP)).tag == first
    await adjust(store, image="y")
    before = await dump(store)
    with pytest.raises(Changed):
        await adjust(store, "", first, paused=True)
    assert await dump(store) == before
    await adjust(store, image="x")
    assert (await adjust(store, "", first, paused=True)).paused


async def test_adjust_if_match_of_no_group(store: Store) -> None:
    """A group that does not exist has no tag, and `*` stands for any group that exists."""
    with pytest.raises(Changed):
        await adjust(store, "", "*", paused=True)
    await queued(store)
    assert (await adjust(store, "", "*", paused=True)).paused


@pytest.mark.parametrize(
    "other",
    [{"image": "x"}, {"max_concurrency": None}, {"max_concurrency": 2}, {"max_concurrency": None, "image": "x"}],
)
async def test_adjust_while_another_does(store: Store, other: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A change between the look at the tag and the script is found by the script, and nothing is overwritten."""
    tag = (await store.groups.adjust(GROUP, GroupChanges(max_concurrency=1))).tag
    run = store.groups._run

    async def run_later(verb: str, *arguments: Any) -> Any:
        monkeypatch.setattr(store.groups, "_run", run)
        reply = await run(verb, *arguments)
        await adjust(store, **other)
        return reply

    monkeypatch.setattr(store.groups, "_run", run_later)
    with pytest.raises(Changed):
        await adjust(store, "", tag, paused=True)
    assert not (await store.groups.show(GROUP)).paused


async def test_adjust_rate_limit_away(store: Store) -> None:
    """A group whose rate_limit is removed dispatches at once, and has no token bucket any more."""
    await configure(store, rate_limit=1)
    await queued(store)
    await queued(store)
    assert len(await store.next(2)) == 1
    await adjust(store, rate_limit=None)
    assert len(await store.next(1)) == 1
    assert not await store.redis.exists(keys.rates(store.partitions[0]))


async def test_adjust_retention_is_seen_by_the_reaper(store: Store) -> None:
    """A shorter retention deletes what is older at the next step."""
    job = await cancelled(store)
    wait(store, 10)
    await adjust(store, retention=RetentionChanges(cancelled=5))
    await reap_after(store, 0)
    assert (await store.list(GROUP, 10))[0] == []
    assert job.id


async def test_adjust_max_concurrency_makes_ready(store: Store) -> None:
    """More room is used at once."""
    await configure(store, max_concurrency=1)
    await running(store)
    second = await queued(store)
    assert await store.next(1) == []
    await adjust(store, max_concurrency=2)
    assert ids(await store.next(1)) == [second.id]


async def test_pause_is_exported(store: Store) -> None:
    """The line of a group has since when, by whom and why it is paused, and a restore brings it back."""
    shown = await adjust(store, "ann", paused=True, note="provider down")
    [piece] = [piece async for piece in store.transfer.export()]
    group = read_line(piece.group).group
    assert group is not None
    await store.redis.flushdb()
    await store.transfer.restore(store.partitions[0], [group], [])
    assert await store.groups.show(GROUP) == shown
