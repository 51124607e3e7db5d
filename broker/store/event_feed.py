"""Events of all brokers: a stream in the first partition, which brokers write only while somebody listens.

Brokers with listeners keep themselves in a set, and each broker looks once a second whether the set has any. While it
has, a broker writes what it did ten times a second, and one read a broker feeds all its listeners.

Wherever events may be missing the stream has a gap, or a listener gets one: where nobody listened, where a broker
learned late that somebody does, where the store was away or lost entries, and where a broker died with events that it
had not written. For the last of these a broker that writes keeps itself in a set too, and takes its name out when it
stops.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, Protocol

from broker.core.errors import TitanError
from broker.resp import keys
from broker.resp.partitions import Partitions
from broker.resp.resp_connection import Word
from broker.store.clock import Clock
from broker.store.event_buffer import EventBuffer
from broker.store.event_entries import (
    EventEntry,
    EventPosition,
    added,
    entries_of,
    gap_here,
    keep,
    newest,
    oldest,
    pieces,
    position_in,
    some,
)
from broker.store.tally import Tally

EVERY_S = 0.1
"""How often a broker writes and reads events while somebody listens, in s."""
LOOK_S = 1.0
"""How often a broker looks whether somebody listens, in s."""
LAST_S = 1.0
"""How long the last write at a stop may take, in s."""
LISTENING_MS = 5000
"""How long a broker counts as one with listeners, or as one that writes, after its last report."""
PAGE = 50
"""Entries in one read."""
BEGAN = "Nobody listened before this, so that nothing was written."
LATE = "A broker learned only now that somebody listens. What it did shortly before may be missing."
AWAY = "This broker could not reach the store for a while, in which others may have written nothing."
DIED = "A broker died, or hangs. What it did last may be missing."
FULL = "A broker did more than it could write."
UNWRITTEN = "A broker could not write for a while."
LOST = "The store has lost events, as a failover does."
OLD = "What happened between then and now is no longer kept."

_log = logging.getLogger(__name__)


class EventListener(Protocol):
    """Gets the entries as they come. It may not wait."""

    def take(self, entry: EventEntry) -> None:
        """An entry."""

    def problem(self, fault: TitanError) -> None:
        """The store cannot be read; entries come again once it can."""


class EventFeed:
    """The events of all brokers at one broker, whose name in the store is `broker`."""

    def __init__(self, partitions: Partitions, clock: Clock, tally: Tally, broker: str) -> None:
        self._partitions = partitions
        self._p = partitions.names[0]
        self._stream, self._listening, self._writing = (
            of(self._p) for of in (keys.events, keys.listening, keys.writing)
        )
        self._clock = clock
        self._tally = tally
        self._broker = broker
        self._listeners: set[EventListener] = set()
        self._position = EventPosition()
        """What the listeners have."""
        self._written = EventPosition()
        """The last entry that this broker wrote."""
        self._looked_at = -LOOK_S
        self._gap = ""
        self._is_away = self._is_marked = False
        self._stepping: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Write and read until cancelled; write the rest then."""
        try:
            while True:
                self._stepping = asyncio.create_task(self.step())
                await asyncio.shield(self._stepping)  # a write that is cut off would be a gap
                is_busy = self._listeners or self._tally.events is not None
                self._wake.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), EVERY_S if is_busy else LOOK_S)
        finally:
            with suppress(TitanError, TimeoutError):
                async with asyncio.timeout(LAST_S), self._turn:
                    await self._end()

    async def step(self) -> None:
        """Look whether somebody listens if it is time for that, write what this broker did, and read."""
        async with self._turn:
            now = time.monotonic()
            try:
                is_due = now - self._looked_at >= LOOK_S
                if is_due or self._is_away or not (self._tally.events is None or self._tally.events.is_empty):
                    await self._find_losses()
                if is_due:
                    await self._look()
                await self._write()
                await self._read()
                self._is_away = False
            except TitanError as fault:
                if not self._is_away:
                    _log.debug("events wait for the store: %s", fault)
                    for listener in self._listeners:
                        listener.problem(fault)
                self._is_away = True

    async def join(self, listener: EventListener) -> EventPosition:
        """Feed a listener from now on; the position from which. Raises StoreUnavailable."""
        async with self._turn:
            is_first = not self._listeners
            self._listeners.add(listener)
            try:
                if is_first:
                    self._is_marked = False
                    await self._look()
                    self._position = await self._last()
                else:
                    await self._read(but=listener)
            except BaseException:
                self._listeners.discard(listener)
                raise
        self._wake.set()
        return self._position

    def leave(self, listener: EventListener) -> None:
        """Feed it no longer."""
        self._listeners.discard(listener)

    async def kept(self, after: EventPosition, until: EventPosition) -> AsyncIterator[EventEntry]:
        """The entries that are kept between two positions; the one `after` is the first again, for its other events.

        A gap that is not in the stream is where entries are gone, also those that go while this reads.
        """
        start, before = after.entry, after
        while True:
            # In this order: an entry that goes in between makes a gap too many, and not one too few.
            page, first = await self._partitions.read(
                self._p, [some(self._stream, start, until.entry, PAGE), oldest(self._stream)]
            )
            left = entries_of(first)
            if before[:2] > until[:2] or not left or left[0].position[:2] > before[:2]:
                yield gap_here(OLD)
            entries = entries_of(page)
            for entry in entries:
                yield entry
            if len(entries) < PAGE:
                return
            before = entries[-1].position
            start = f"({before.entry}"

    async def _look(self) -> None:
        """Say that this broker has listeners or writes, and find out whether others do."""
        clock, listening, writing, last = await self._partitions.read(
            self._p, [("TIME",), _all(self._listening), _all(self._writing), newest(self._stream)]
        )
        now = int(self._clock.now or int(clock[0]) * 1000 + int(clock[1]) // 1000)
        heard = [name for name, until in _scores(listening) if until > now]
        dead = [name for name, until in _scores(writing) if until <= now and name != self._broker]
        if not self._listeners and not heard:
            if self._tally.events is not None:
                await self._partitions.send(self._p, [("ZREM", self._writing, self._broker)])
            self._tally.events, self._is_marked = None, False
            self._written, self._gap = EventPosition(), ""  # later listeners need not know
            self._looked_at = time.monotonic()
            return
        gaps, ends = [], now + LISTENING_MS
        commands: list[Sequence[Word]] = list(_mark(self._writing, ends, self._broker))
        if self._listeners:
            commands += [*_mark(self._listening, ends, self._broker), keep(self._stream)]
            commands.append(("ZREMRANGEBYSCORE", self._listening, "-inf", now))
            if not heard:
                gaps.append(AWAY if self._is_marked or self._is_away else BEGAN)
            elif dead and self._broker == min({*heard, self._broker}):  # one of them writes it
                gaps.append(DIED)
            if gaps:
                commands.append(("ZREMRANGEBYSCORE", self._writing, "-inf", now))
        if heard and self._tally.events is None and self._tally.has_acted(2 * LOOK_S):
            gaps.append(LATE)
        await self._partitions.send(self._p, [*added(self._stream, map(gap_here, gaps)), *commands])
        self._is_marked = bool(self._listeners)
        found = entries_of(last)
        if self._listeners and heard and self._position[:2] > (found[0].position[:2] if found else (0, 0)):
            self._give(gap_here(LOST))
            self._position = found[0].position if found else EventPosition()
        self._looked_at = time.monotonic()
        self._tally.events = self._tally.events or EventBuffer()

    async def _find_losses(self) -> None:
        """Whether the store still has what was written and what was read.

        A store that was killed may have lost what it had answered, and be back before this broker notices.
        """
        known = [("written", self._written), ("read", self._position if self._listeners else EventPosition())]
        asked = [(what, position) for what, position in known if position.ms]
        if not asked:
            return
        first, *found = await self._partitions.read(
            self._p, [oldest(self._stream), *(some(self._stream, at.entry, at.entry, 1) for _, at in asked)]
        )
        left = entries_of(first)
        for (what, position), reply in zip(asked, found, strict=True):
            if entries_of(reply):
                continue
            is_old = bool(left) and left[0].position[:2] > position[:2]
            if what == "read":
                self._give(gap_here(OLD if is_old else LOST))
                self._position = EventPosition() if is_old else min(position, await self._last())
            elif not is_old:
                self._gap = self._gap or LOST
                self._written = EventPosition()

    async def _write(self) -> None:
        """Write what happened. What could not be written is a gap for all who listen."""
        if self._tally.events is None:
            return
        rows, is_full = self._tally.events.take()
        if is_full:
            self._gap = FULL
        if not rows and not self._gap:
            return
        gap, self._gap = self._gap, UNWRITTEN
        replies = await self._partitions.send(self._p, [*added(self._stream, pieces(rows, gap)), keep(self._stream)])
        self._written, self._gap = position_in(replies[-2]), ""

    async def _read(self, but: EventListener | None = None) -> None:
        """Give the new entries to the listeners."""
        while self._listeners:
            [page] = await self._partitions.read(self._p, [some(self._stream, f"({self._position.entry}", "+", PAGE)])
            entries = entries_of(page)
            for entry in entries:
                self._position = entry.position
                self._give(entry, but)
            if len(entries) < PAGE:
                return

    async def _end(self) -> None:
        """Write the rest, and say that no more comes."""
        if self._tally.events is not None:
            await self._write()
            await self._partitions.send(self._p, [("ZREM", self._writing, self._broker)])

    def _give(self, entry: EventEntry, but: EventListener | None = None) -> None:
        for listener in self._listeners:
            if listener is not but:
                listener.take(entry)

    async def _last(self) -> EventPosition:
        [last] = await self._partitions.read(self._p, [newest(self._stream)])
        entries = entries_of(last)
        return entries[0].position if entries else EventPosition()


def _all(key: str) -> Sequence[Word]:
    return "ZRANGE", key, 0, -1, "WITHSCORES"


def _mark(key: str, ends: int, broker: str) -> Sequence[Sequence[Word]]:
    return ("ZADD", key, ends, broker), ("PEXPIRE", key, 10 * LISTENING_MS)


def _scores(reply: Sequence[Any]) -> list[tuple[str, float]]:
    """Members with their scores. redis-py replies with pairs, the multiplexer with a flat list."""
    flat = [word for one in reply for word in (one if isinstance(one, list | tuple) else (one,))]
    return [(name.decode(), float(score)) for name, score in zip(flat[::2], flat[1::2], strict=True)]
