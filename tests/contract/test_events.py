"""Events in the store: when brokers write, what a listener gets at any broker, and which gaps it learns of."""

import asyncio
from math import inf

import pytest
from redis.asyncio import Redis

from broker.core.errors import StoreUnavailable, TitanError
from broker.models.groups import GroupChanges, GroupSettings
from broker.models.jobs import NewJob
from broker.models.workers import ENDING, Announcement
from broker.resp import keys
from broker.store import event_entries, event_feed
from broker.store.event_entries import EventEntry, EventPosition, position_of
from broker.store.event_feed import AWAY, BEGAN, DIED, LATE, LOST, OLD, UNWRITTEN
from tests.contract.building import failed, running, succeeded
from tests.stores import Store


@pytest.fixture
def third(store: Store, redis: Redis, backend: str) -> Store:
    """The same store as a third broker has it."""
    third = Store(redis, store.settings, is_plain=backend == "fake")
    third.now = store.now
    return third


class Heard:
    """A listener that keeps what it gets."""

    def __init__(self) -> None:
        self.entries: list[EventEntry] = []
        self.faults: list[TitanError] = []

    def take(self, entry: EventEntry) -> None:
        self.entries.append(entry)

    def problem(self, fault: TitanError) -> None:
        self.faults.append(fault)

    @property
    def told(self) -> list[tuple[str, str, int]]:
        """Kind, group and number of all events."""
        return [(kind, group, n) for entry in self.entries for kind, group, n, *_ in entry.rows]

    @property
    def gaps(self) -> list[str]:
        """The reasons of the gaps."""
        return [entry.gap for entry in self.entries if entry.gap]


@pytest.fixture(autouse=True)
def looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step looks whether somebody listens."""
    monkeypatch.setattr(event_feed, "LOOK_S", 0)


def enqueued(store: Store, n: int = 1, group: str = "g") -> object:
    return store.enqueue(group, [NewJob(image="i")] * n)


async def kept(store: Store, after: EventPosition, until: EventPosition) -> Heard:
    heard = Heard()
    async for entry in store.events.kept(after, until):
        heard.take(entry)
    return heard


async def test_nobody_listens(store: Store, redis: Redis) -> None:
    """Without a listener brokers write nothing, and have nowhere to note what they do."""
    await store.events.step()
    await enqueued(store)
    await store.events.step()
    p = store.partitions[0]
    assert store.counts._tally.events is None
    assert not await redis.exists(keys.events(p), keys.listening(p))


async def test_events_of_two_brokers(store: Store, other: Store) -> None:
    """What one broker does reaches the listeners of another: by group and kind, with 20 ids at most and who did it."""
    heard = Heard()
    await store.events.join(heard)
    await other.events.step()  # it looks once a second
    await enqueued(other, 25)
    job = await running(other, "g")
    await other.cancel("g", job.id, "ann")
    await succeeded(store)
    await failed(store)
    await other.groups.adjust("g", GroupChanges(paused=True), "bob")
    await other.groups.adjust("g", GroupChanges(paused=False), "bob")
    await other.workers.announce(Announcement(name="w", host="h"))
    await other.workers.announce(Announcement(name="w", host="h"))
    await other.workers.announce(Announcement(name="w", host="h", state="stopping"))
    await other.events.step()
    await store.events.step()
    rows = {(kind, group, by): (n, len(ids)) for entry in heard.entries for kind, group, n, ids, by in entry.rows}
    assert rows["enqueued", "g", ""][1] == 20
    assert rows["enqueued", "g", ""][0] >= 25
    assert rows["cancelled", "g", "ann"] == (1, 1)
    assert {key[0] for key in rows} >= {"taken", "succeeded", "failed", "paused", "resumed", "worker_seen"}
    assert rows["paused", "g", "bob"] == (1, 0)
    assert rows["worker_seen", "", ""] == (1, 1)
    assert heard.gaps == []
    store.events.leave(heard)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The names of the lines of the log that have one."""
    return [record.event for record in caplog.records if hasattr(record, "event")]


async def test_workers_in_the_log(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """The first heartbeat of a worker at this broker and the last one are a line each; those between are none."""
    caplog.set_level("INFO")
    for state in ("working", "working", "stopping"):
        await store.workers.announce(Announcement(name="w", host="h", state=state))
    await store.workers.announce(Announcement(name="w", host="h", state=ENDING))
    assert logged(caplog) == ["worker.seen", "worker.gone"]
    assert {record.worker for record in caplog.records if hasattr(record, "event")} == {"w"}


async def test_a_pause_by_a_put_begins_and_ends(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """New settings with and without a pause are events of it, also by a change; what changes no pause is none."""
    caplog.set_level("INFO")
    heard = Heard()
    await store.events.join(heard)
    await store.events.step()
    for paused in (False, True, True, False, False):
        await store.groups.configure("g", GroupSettings(paused=paused), "ann")
    for paused in (True, True, False, False):
        await store.groups.adjust("g", GroupChanges(paused=paused), "bob")
    await store.events.step()
    rows = [(kind, n, by) for entry in heard.entries for kind, _, n, _, by in entry.rows]
    assert sorted(rows) == [(kind, 1, by) for kind in ("paused", "resumed") for by in ("ann", "bob")]
    assert logged(caplog) == ["group.paused", "group.resumed"] * 2
    store.events.leave(heard)


async def test_resume_at_the_other_broker(store: Store, other: Store) -> None:
    """The events after an id are kept for a client of any broker; the first of the two is not repeated."""
    heard = Heard()
    await store.events.join(heard)
    for group in ("a", "b", "c"):
        await enqueued(store, 1, group)
        await store.events.step()
    first = heard.entries[0].position._replace(number=0)
    store.events.leave(heard)
    late = Heard()
    until = await other.events.join(late)
    found = await kept(other, first, until)
    assert [row for row in found.told if row[1] != "a"] == [("enqueued", "b", 1), ("enqueued", "c", 1)]
    assert found.gaps == []
    await enqueued(other, 1, "d")
    await other.events.step()
    assert late.told == [("enqueued", "d", 1)]
    other.events.leave(late)


async def test_a_time_without_listeners_is_a_gap(store: Store, other: Store, redis: Redis) -> None:
    """A client that comes back after nobody listened for a while gets a gap; the first listener gets none."""
    heard = Heard()
    await store.events.join(heard)
    await enqueued(store)
    await store.events.step()
    assert heard.gaps == []
    store.events.leave(heard)
    await redis.delete(keys.listening(store.partitions[0]))  # it ended
    await store.events.step()
    await enqueued(store)  # nobody sees it
    await store.events.step()
    again = Heard()
    until = await other.events.join(again)
    found = await kept(other, heard.entries[0].position, until)
    assert found.gaps == [BEGAN]
    other.events.leave(again)


async def test_an_id_that_is_too_old(store: Store, redis: Redis) -> None:
    """An id before the oldest entry, and any id once the stream is gone, is answered by a gap first."""
    heard = Heard()
    until = await store.events.join(heard)
    await enqueued(store)
    await store.events.step()
    found = await kept(store, EventPosition(5, 0), heard.entries[-1].position)
    assert found.entries[0] == EventEntry(EventPosition(), gap=OLD)
    assert ("enqueued", "g", 1) in found.told
    await redis.delete(keys.events(store.partitions[0]))
    assert (await kept(store, EventPosition(5, 0), until)).gaps == [OLD]
    store.events.leave(heard)


async def test_a_store_that_lost_events(store: Store, redis: Redis) -> None:
    """After a failover that lost entries, or a store that was emptied, listeners get a gap and then what is new.

    Here the broker misses what it read and what it wrote. A client gets both gaps as one.
    """
    heard = Heard()
    await store.events.join(heard)
    await enqueued(store)
    await store.events.step()
    await redis.delete(keys.events(store.partitions[0]))
    await store.events.step()
    assert heard.gaps == [LOST, LOST]
    await enqueued(store)
    await store.events.step()
    assert heard.told == [("enqueued", "g", 1)] * 2
    store.events.leave(heard)


async def test_a_store_that_is_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listeners get one report. When it is back they get a gap for what could not be written, and what is new."""
    heard = Heard()
    await store.events.join(heard)
    sent = store.events._partitions.send

    async def away(partition: str, commands: list[list[str]]) -> list[object]:
        if commands[0][0] == "XADD":
            raise StoreUnavailable("It is away.")
        return await sent(partition, commands)

    await enqueued(store)
    monkeypatch.setattr(store.events._partitions, "send", away)
    await store.events.step()
    await store.events.step()
    assert [fault.message for fault in heard.faults] == ["It is away."]
    monkeypatch.setattr(store.events._partitions, "send", sent)
    await enqueued(store, 2)
    for _ in range(2):
        await store.events.step()
    assert heard.gaps == [UNWRITTEN]
    assert heard.told == [("enqueued", "g", 2)]
    store.events.leave(heard)


async def test_the_stream_is_bounded(store: Store, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry has PIECE events at most, the stream about KEPT entries, and both keys expire."""
    monkeypatch.setattr(event_entries, "KEPT", 5)
    monkeypatch.setattr(event_entries, "PIECE", 2)
    heard = Heard()
    await store.events.join(heard)
    p = store.partitions[0]
    for at in range(5):
        await enqueued(store, 1, f"g{at}")
    await store.events.step()
    assert [len(entry.rows) for entry in heard.entries] == [2, 2, 1]
    for _ in range(150):
        store.counts._tally.noted("paused", "g")
        await store.events._write()
    assert await redis.xlen(keys.events(p)) <= 110
    assert 0 < await redis.pttl(keys.events(p)) <= event_entries.KEPT_MS
    assert await redis.pttl(keys.listening(p)) > 0
    store.events.leave(heard)


async def test_a_store_that_was_away_for_long(store: Store, other: Store, redis: Redis) -> None:
    """When reports were late, listeners who were there all the time learn that, and not that nobody listened."""
    heard = Heard()
    await store.events.join(heard)
    await enqueued(store)
    await store.events.step()
    await redis.delete(keys.listening(store.partitions[0]))  # its report is too old
    await other.events.step()
    await store.events.step()
    assert heard.gaps == [AWAY]
    await enqueued(store)
    await store.events.step()
    assert heard.told == [("enqueued", "g", 1)] * 2
    store.events.leave(heard)


async def test_a_broker_that_learns_late(store: Store, other: Store) -> None:
    """What a broker did before it looked is a gap; a broker that did nothing makes none."""
    heard = Heard()
    await store.events.join(heard)
    await other.events.step()
    await store.events.step()
    assert heard.gaps == []
    store.events.leave(heard)
    await store.redis.delete(keys.listening(store.partitions[0]))
    await other.events.step()
    assert other.counts._tally.events is None
    await store.events.join(heard)
    await enqueued(other)  # nobody sees it
    await other.events.step()
    await store.events.step()
    assert heard.gaps == [LATE]
    store.events.leave(heard)


async def test_a_broker_that_dies(store: Store, other: Store, third: Store, redis: Redis) -> None:
    """One broker tells all listeners of a broker that died; one that stops writes the rest and is no gap."""
    heard, also = Heard(), Heard()
    await store.events.join(heard)
    await third.events.join(also)
    p = store.partitions[0]
    stopping = asyncio.create_task(other.events.run())
    while other.counts._tally.events is None:
        await asyncio.sleep(0)
    await enqueued(other)
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
    for each in (store, third):
        await each.events.step()
    assert heard.told == [("enqueued", "g", 1)]
    await redis.zadd(keys.writing(p), {"dead": int(store.now) - 1})
    for each in (store, third, store, third):
        await each.events.step()
    assert heard.gaps == also.gaps == [DIED]
    assert {name.decode() for name in await redis.zrange(keys.writing(p), 0, -1)} == {
        store.events._broker,
        third.events._broker,
    }
    store.events.leave(heard)
    third.events.leave(also)


async def test_a_quiet_stream_is_kept(store: Store, redis: Redis) -> None:
    """While somebody listens the stream does not expire, so a quiet hour is no loss."""
    heard = Heard()
    await store.events.join(heard)
    await redis.pexpire(keys.events(store.partitions[0]), 5000)
    await store.events.step()
    assert await redis.pttl(keys.events(store.partitions[0])) > event_entries.KEPT_MS - 5000
    store.events.leave(heard)


@pytest.mark.parametrize("is_trimmed", [False, True])
async def test_a_broker_that_stood_still(
    store: Store, other: Store, redis: Redis, monkeypatch: pytest.MonkeyPatch, *, is_trimmed: bool
) -> None:
    """A broker that did not read for a while looks whether what it has is still there; its listeners get a gap if not.

    What the store has lost, although it had taken it, is a gap by the broker that wrote it.
    """
    heard = Heard()
    await store.events.join(heard)
    await enqueued(store)
    await store.events.step()
    await other.events.step()
    key = keys.events(store.partitions[0])
    if is_trimmed:
        await enqueued(other, 2)
        await other.events.step()
        await enqueued(other, 3)
        await other.events.step()
        await redis.xtrim(key, maxlen=1, approximate=False)
    else:
        await enqueued(other)
        await other.events.step()
        [(last, _)] = await redis.xrevrange(key, count=1)
        await redis.xdel(key, last)
        await enqueued(other, 3)
        await other.events.step()
    monkeypatch.setattr(store.events, "_looked_at", -inf)
    await store.events.step()
    assert heard.gaps == [OLD if is_trimmed else LOST]
    assert heard.told == [("enqueued", "g", 1), ("enqueued", "g", 3)]
    store.events.leave(heard)


async def test_entries_that_go_while_they_are_read(store: Store, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that reads the past slowly gets a gap where entries are gone meanwhile."""
    monkeypatch.setattr(event_feed, "PAGE", 1)
    heard = Heard()
    first = await store.events.join(heard)
    for n in (1, 2, 3, 4):
        await enqueued(store, n)
        await store.events.step()
    found = []
    async for entry in store.events.kept(first, heard.entries[-1].position):
        found.append(entry.gap or sum(row[2] for row in entry.rows))
        if found[-1] == 1:
            await redis.xtrim(keys.events(store.partitions[0]), maxlen=2, approximate=False)
    assert found == [BEGAN, 1, OLD, 3, 4]
    store.events.leave(heard)


def test_positions() -> None:
    """The id of an event is that of its entry and its number; other texts are none."""
    assert position_of("1764-2.17") == EventPosition(1764, 2, 17)
    for text in ("", "1764-2", "1764.1", "a-b.c", "1-2.-3", "1-2.٣", "1-2.3.4"):
        assert position_of(text) is None


async def test_gaps_are_of_the_time_in_which_somebody_listens(
    store: Store, other: Store, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a broker wrote for listeners that are gone, and the store has dropped since, is no gap for later ones."""
    heard = Heard()
    await store.events.join(heard)
    await other.events.step()
    await enqueued(other)
    await other.events.step()
    store.events.leave(heard)
    p = store.partitions[0]
    await redis.delete(keys.listening(p), keys.writing(p), keys.events(p))
    monkeypatch.setattr(other.events, "_looked_at", -inf)
    await other.events.step()
    later = Heard()
    await store.events.join(later)
    monkeypatch.setattr(other.events, "_looked_at", -inf)
    await other.events.step()
    await enqueued(other)
    await other.events.step()
    await store.events.step()
    assert LOST not in later.gaps
    assert later.told == [("enqueued", "g", 1)]
    store.events.leave(later)


async def test_events_name_jobs_with_deadlines(store: Store) -> None:
    """These are created by another script than plain ones."""
    heard = Heard()
    await store.events.join(heard)
    job = (await store.enqueue("g", [NewJob(image="x", start_within=60)])).jobs[0]
    await store.events.step()
    assert [row for entry in heard.entries for row in entry.rows] == [("enqueued", "g", 1, [job.id], "")]
    store.events.leave(heard)
