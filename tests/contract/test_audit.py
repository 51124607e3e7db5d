"""The audit: acts are kept in order, the newest about 10,000, and are read page by page."""

import pytest
from msgspec import UNSET

from broker.core.errors import Invalid
from broker.core.timestamps import milliseconds
from broker.models.audit import AuditEntry
from broker.store import audit
from broker.store.audit import Act
from tests.contract.building import Run
from tests.stores import Store

FULL = Act("cancel", "ann ü", "::1", "mail", ("0" * 16, "1" * 16), 7, "not_found", "more, of it")


async def acts_of(store: Store, n: int = 1000) -> list[str]:
    return [entry.act for entry in (await store.audit.list(n))[0]]


async def test_audit_keeps_every_field(store: Store) -> None:
    """An act is listed with all that was noted, and with the time of the store."""
    seconds, _ = await store.redis.time()
    await store.audit.note("batch", [FULL])
    [entry], cursor = await store.audit.list(10)
    assert abs(milliseconds(entry.at) - seconds * 1000) < 60_000
    assert (cursor, entry) == (
        "",
        AuditEntry(
            at=entry.at,
            act="cancel",
            by="ann ü",
            address="::1",
            group="mail",
            ids=["0" * 16, "1" * 16],
            n=7,
            outcome="not_found",
            detail="more, of it",
        ),
    )


async def test_audit_without_fields(store: Store) -> None:
    """What an act does not have takes no room and is not shown."""
    await store.audit.note("batch", [Act("login")])
    [entry], _ = await store.audit.list(10)
    assert (entry.n, entry.outcome) == (1, "ok")
    assert {entry.by, entry.address, entry.group, entry.ids, entry.detail} == {UNSET}
    [(_, fields)] = await store.redis.xrange(f"{store.partitions[0]}:audit")
    assert fields == {b"act": b"login", b"n": b"1", b"outcome": b"ok", b"batch": b"batch"}


async def test_audit_keeps_twenty_ids(store: Store) -> None:
    """An entry has 20 ids at most."""
    await store.audit.note("batch", [FULL._replace(ids=tuple(f"{i:016}" for i in range(25)), n=25)])
    [entry], _ = await store.audit.list(10)
    assert entry.ids == [f"{i:016}" for i in range(20)]


async def test_audits_in_pages(store: Store) -> None:
    """The newest act comes first, and cursors lead to the oldest one, each act once; newer acts disturb no page."""
    for number in range(7):
        await store.audit.note("batch", [Act(f"a{number}")])
    found, cursor, pages = [], "", 0
    while cursor or not pages:
        entries, cursor = await store.audit.list(3, cursor)
        found += [entry.act for entry in entries]
        pages += 1
        await store.audit.note("batch", [Act("new")])
    assert (found, pages) == ([f"a{number}" for number in reversed(range(7))], 3)


async def test_audits_of_an_empty_store(store: Store) -> None:
    """Nothing was done yet."""
    assert await store.audit.list(10) == ([], "")


async def test_audit_of_many_acts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Acts keep their order however many there are, and the oldest go."""
    monkeypatch.setattr(audit, "KEPT", 100)
    for first in range(0, 450, 150):
        await store.audit.note("batch", [Act(str(number)) for number in range(first, first + 150)])
    kept = await acts_of(store)
    assert kept[:100] == [str(number) for number in range(449, 349, -1)]
    assert len(kept) < 300


@pytest.mark.parametrize("cursor", ["x", "1", "-", "+", "1-", "1-1-1", "1-x", "(1-1"])
async def test_audits_with_a_foreign_cursor(store: Store, cursor: str) -> None:
    """A cursor that no list gave is invalid."""
    with pytest.raises(Invalid):
        await store.audit.list(3, cursor)


async def test_audit_that_is_sent_again(store: Store) -> None:
    """A batch whose answer was lost is noted once, however often it is sent again; one that did not come is noted."""
    for repeats in range(3):
        await store.audit.note("first", [Act("a"), Act("b")], repeats)
        await store.audit.note(f"other {repeats}", [Act("c"), Act("d")])
    await store.audit.note("last", [Act("e")], 1)
    assert (await acts_of(store))[::-1] == ["a", "b", *"cdcdcd", "e"]


async def test_audit_that_is_sent_again_much_later(store: Store) -> None:
    """A repeat is found among the newest 1,000 acts, and behind them it is noted again."""
    await store.audit.note("first", [Act("a")])
    await store.audit.note("others", [Act("b")] * 999)
    await store.audit.note("first", [Act("a")], 1)
    assert len(await acts_of(store, 2000)) == 1000
    await store.audit.note("last", [Act("c")])
    await store.audit.note("first", [Act("a")], 1)
    assert (await acts_of(store, 2000))[:2] == ["a", "c"]


async def test_audit_replies_how_many_it_noted(store: Store, run: Run) -> None:
    """The reply is the number of acts that were noted, and the first one alone has the id of the call."""
    acts = [word for act in ("a", "b", "c") for word in ("", "", act, "", "", "", "", "")]
    assert [await run("audit", 100, "batch", repeats, *acts) for repeats in (0, 1)] == [3, 0]
    entries = [fields for _, fields in await store.redis.xrange(f"{store.partitions[0]}:audit")]
    assert entries == [{b"act": b"a", b"batch": b"batch"}, {b"act": b"b"}, {b"act": b"c"}]
