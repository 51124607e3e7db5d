"""The sessions of people who are logged in: opened, used, listed and ended, on each kind of server."""

from broker.resp import keys
from broker.store import sessions as kept
from broker.store.sessions import IDLE_S, LASTS_S
from tests.conftest import NOW
from tests.stores import Store

ANN, BOB = b"a" * 32, b"b" * 32


def at(store: Store, seconds: float) -> None:
    """Set the clock so long after NOW."""
    store.now = str(NOW + int(seconds * 1000))


async def ids(store: Store) -> list[str]:
    """The ids of the listed sessions."""
    return [one.id for one in await store.sessions.list()]


async def test_use_returns_what_was_opened(store: Store) -> None:
    """A session has its token, its csrf and the whole time before it; another id has none."""
    at(store, 0)
    assert await store.sessions.open("1", ANN, "word") == 1
    assert await store.sessions.use("1") == (ANN, "word", LASTS_S)
    assert await store.sessions.use("2") is None


async def test_use_keeps_a_session_for_another_while(store: Store) -> None:
    """A session expires IDLE_S after its last use, and the list shows when that was."""
    at(store, 0)
    await store.sessions.open("1", ANN, "word")
    key = keys.session(store.partitions[0], "1")
    assert 0 < await store.redis.pttl(key) <= IDLE_S * 1000
    await store.redis.pexpire(key, 60_000)
    at(store, 60)
    assert (await store.sessions.use("1")) == (ANN, "word", LASTS_S - 60)
    assert IDLE_S * 1000 - 60_000 < await store.redis.pttl(key) <= IDLE_S * 1000
    [one] = await store.sessions.list()
    assert one == ("1", ANN, "2026-11-23T19:23:14.165Z", "2026-11-23T19:24:14.165Z")


async def test_use_never_keeps_a_session_beyond_its_longest(store: Store) -> None:
    """However often it is used, a session ends LASTS_S after it began."""
    at(store, 0)
    await store.sessions.open("1", ANN, "word")
    at(store, LASTS_S - 10)
    found = await store.sessions.use("1")
    assert found is not None
    assert found.left_s == 10
    assert 0 < await store.redis.pttl(keys.session(store.partitions[0], "1")) <= 10_000
    at(store, LASTS_S)
    assert await store.sessions.use("1") is None
    at(store, LASTS_S - 0.001)
    assert await store.sessions.use("1") == (ANN, "word", 0.001)


async def test_use_when_the_clock_went_back(store: Store) -> None:
    """A session that began in the future lasts LASTS_S at most."""
    at(store, 3600)
    await store.sessions.open("1", ANN, "word")
    at(store, 0)
    assert await store.sessions.use("1") == (ANN, "word", LASTS_S)


async def test_end_one(store: Store) -> None:
    """A session that ended is neither used nor listed; another one of the token lasts."""
    await store.sessions.open("1", ANN, "x")
    await store.sessions.open("2", ANN, "y")
    assert await store.sessions.end("1") == 1
    assert await store.sessions.end("1") == 0
    assert await store.sessions.use("1") is None
    assert await ids(store) == ["2"]
    assert await store.redis.zrange(keys.sessions(store.partitions[0]), 0, -1) == [b"2"]


async def test_end_of_a_token(store: Store) -> None:
    """All sessions of a token end, and no session of another one."""
    for name, token in (("1", ANN), ("2", BOB), ("3", ANN)):
        await store.sessions.open(name, token, "x")
    assert await store.sessions.end_of(ANN) == 2
    assert await ids(store) == ["2"]
    assert await store.redis.zrange(keys.sessions(store.partitions[0]), 0, -1) == [b"2"]


async def test_list_has_the_newest_first(store: Store) -> None:
    """The list is in the order of their beginning, the newest first, up to a number; one that expired is left out."""
    for second in range(4):
        at(store, second)
        await store.sessions.open(str(second), ANN, "x")
    await store.redis.delete(keys.session(store.partitions[0], "2"))
    assert await ids(store) == ["3", "1", "0"]
    assert [one.id for one in await store.sessions.list(2)] == ["3", "1"]


async def test_open_makes_room(store: Store, monkeypatch) -> None:
    """With the most sessions, those that began first end; names of sessions that ended long ago are removed."""
    monkeypatch.setattr(kept, "MOST_SESSIONS", 2)
    for second in range(3):
        at(store, second)
        await store.sessions.open(str(second), ANN, "x")
    assert await ids(store) == ["2", "1"]
    assert await store.sessions.use("0") is None
    assert await store.redis.zrange(keys.sessions(store.partitions[0]), 0, -1) == [b"1", b"2"]
    monkeypatch.setattr(kept, "MOST_SESSIONS", 9)
    at(store, LASTS_S + 1)
    assert await store.sessions.open("new", ANN, "x") == 2
    assert await store.redis.zrange(keys.sessions(store.partitions[0]), 0, -1) == [b"2", b"new"]


async def test_keys_expire(store: Store) -> None:
    """The list of sessions expires with the last of them."""
    await store.sessions.open("1", ANN, "x")
    assert 0 < await store.redis.pttl(keys.sessions(store.partitions[0])) <= LASTS_S * 1000
