"""Events of all brokers: a stream in the first partition, which brokers write only while somebody listens.

Brokers with listeners keep themselves in a set, and each broker looks once a second whether the set has any. While it
has, a broker writes what it did ten times a second, and one read a broker feeds all its listeners. A
listener that begins at an older position learns of every time in which nothing was written: there the stream has a gap.
"""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import msgspec

from broker.core.errors import TitanError
from broker.resp import keys
from broker.resp.partitions import Partitions
from broker.resp.resp_connection import Word
from broker.store.clock import Clock
from broker.store.event_buffer import EventBuffer, Row
from broker.store.tally import Tally

EVERY_S = 0.1
"""How often a broker writes and reads events while somebody listens, in s."""
LOOK_S = 1.0
"""How often a broker looks whether somebody listens, in s."""
LISTENING_MS = 5000
"""How long a broker counts as one with listeners after its last report."""
KEPT = 2000
"""Entries of the stream, more or less; each has up to PIECE events."""
PIECE = 200
KEPT_MS = 3_600_000
"""How long the stream is kept after the last entry."""
PAGE = 50
"""Entries in one read."""
BEGAN = "Nobody listened before this, so that nothing was written."
FULL = "A broker did more than it could write."
UNWRITTEN = "A broker could not write for a while."
LOST = "The store has lost events, as a failover does."
OLD = "What happened between then and now is no longer kept."

_ID = re.compile(r"(\d{1,16})-(\d{1,16})", re.ASCII)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Row]).decode
_log = logging.getLogger(__name__)


class EventPosition(NamedTuple):
    """A place in the stream: the id of an entry in two parts, and the number of an event in it."""

    ms: int = 0
    sequence: int = 0
    number: int = 1_000_000

    @property
    def entry(self) -> str:
        """The id of the entry."""
        return f"{self.ms}-{self.sequence}"


class EventEntry(NamedTuple):
    """An entry of the stream. `gap`: why events are missing before it, or ''."""

    position: EventPosition
    rows: Sequence[Row] = ()
    gap: str = ""


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
        self._clock = clock
        self._tally = tally
        self._broker = broker
        self._listeners: set[EventListener] = set()
        self._position = EventPosition()
        self._looked_at = -LOOK_S
        self._gap = ""
        self._is_away = False
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Write and read until cancelled."""
        while True:
            await self.step()
            is_busy = self._listeners or self._tally.events is not None
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), EVERY_S if is_busy else LOOK_S)

    async def step(self) -> None:
        """Look whether somebody listens if it is time for that, write what this broker did, and read."""
        async with self._turn:
            try:
                if time.monotonic() - self._looked_at >= LOOK_S:
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

        The first entry is a gap without events if entries after that position are gone.
        """
        [first] = await self._partitions.read(self._p, [self._range("-", "+", 1)])
        oldest = _entries(first)
        if not oldest or oldest[0].position[:2] > after[:2] or after[:2] > until[:2]:
            yield EventEntry(EventPosition(), gap=OLD)
            after = min(after, until)
        start = after.entry
        while True:
            [page] = await self._partitions.read(self._p, [self._range(start, until.entry, PAGE)])
            entries = _entries(page)
            for entry in entries:
                yield entry
            if len(entries) < PAGE:
                return
            start = f"({entries[-1].position.entry}"

    async def _look(self) -> None:
        """Say that this broker has listeners, and find out whether any has."""
        key, stream = keys.listening(self._p), keys.events(self._p)
        clock, latest, last = await self._partitions.read(
            self._p, [("TIME",), ("ZREVRANGE", key, 0, 0, "WITHSCORES"), _newest(stream)]
        )
        now = int(self._clock.now or int(clock[0]) * 1000 + int(clock[1]) // 1000)
        is_heard = bool(latest) and _score(latest) > now
        if self._listeners:
            ends = now + LISTENING_MS
            commands: list[Sequence[Word]] = [("ZADD", key, ends, self._broker), ("PEXPIRE", key, 10 * LISTENING_MS)]
            commands.append(("ZREMRANGEBYSCORE", key, "-inf", now))
            if not is_heard:
                commands += self._added([EventEntry(EventPosition(), gap=BEGAN)])
            await self._partitions.send(self._p, commands)
            newest = _entries(last)
            if is_heard and self._position[:2] > (newest[0].position[:2] if newest else (0, 0)):
                self._position = newest[0].position if newest else EventPosition()
                self._give(EventEntry(self._position, gap=LOST))
        self._looked_at = time.monotonic()
        if is_heard or self._listeners:
            self._tally.events = self._tally.events or EventBuffer()
        else:
            self._tally.events = None

    async def _write(self) -> None:
        """Write what happened. What could not be written is a gap for all who listen."""
        if self._tally.events is None:
            return
        rows, is_full = self._tally.events.take()
        if is_full:
            self._gap = FULL
        if not rows and not self._gap:
            return
        pieces = [rows[at : at + PIECE] for at in range(0, len(rows), PIECE)] or [[]]
        gap, self._gap = self._gap, UNWRITTEN
        await self._partitions.send(
            self._p,
            self._added([EventEntry(EventPosition(), piece, "" if at else gap) for at, piece in enumerate(pieces)]),
        )
        self._gap = ""

    async def _read(self, but: EventListener | None = None) -> None:
        """Give the new entries to the listeners."""
        while self._listeners:
            start = f"({self._position.entry}"
            [page] = await self._partitions.read(self._p, [self._range(start, "+", PAGE)])
            entries = _entries(page)
            for entry in entries:
                self._position = entry.position
                self._give(entry, but)
            if len(entries) < PAGE:
                return

    def _give(self, entry: EventEntry, but: EventListener | None = None) -> None:
        for listener in self._listeners:
            if listener is not but:
                listener.take(entry)

    async def _last(self) -> EventPosition:
        [newest] = await self._partitions.read(self._p, [_newest(keys.events(self._p))])
        entries = _entries(newest)
        return entries[0].position if entries else EventPosition()

    def _range(self, first: str, last: str, n: int) -> Sequence[Word]:
        return "XRANGE", keys.events(self._p), first, last, "COUNT", n

    def _added(self, entries: Iterable[EventEntry]) -> list[Sequence[Word]]:
        key = keys.events(self._p)
        adds: list[Sequence[Word]] = [
            ("XADD", key, "MAXLEN", "~", KEPT, "*", "events", _encode(entry.rows), "gap", entry.gap)
            for entry in entries
        ]
        return [*adds, ("PEXPIRE", key, KEPT_MS)]


def position_of(text: str) -> EventPosition | None:
    """The position that an event had as its id; None for any other text."""
    entry, _, number = text.partition(".")
    found = _ID.fullmatch(entry)
    if found is None or not (number.isascii() and number.isdigit() and len(number) <= 6):
        return None
    return EventPosition(int(found[1]), int(found[2]), int(number))


def _newest(stream: str) -> Sequence[Word]:
    return "XREVRANGE", stream, "+", "-", "COUNT", 1


def _entries(reply: Sequence[Any]) -> list[EventEntry]:
    """The entries of XRANGE. Those that somebody else wrote are left out."""
    found = []
    for name, fields in reply or ():
        ms, _, sequence = name.decode().partition("-")
        flat = [word for pair in fields.items() for word in pair] if isinstance(fields, dict) else fields
        values = dict(zip(flat[::2], flat[1::2], strict=True))
        try:
            rows = _decode(values.get(b"events", b"[]"))
        except msgspec.MsgspecError:
            rows = []
        found.append(EventEntry(EventPosition(int(ms), int(sequence)), rows, values.get(b"gap", b"").decode()))
    return found


def _score(reply: Sequence[Any]) -> float:
    """The score of the first member. redis-py replies with pairs, the multiplexer with a flat list."""
    return float(reply[0][1] if isinstance(reply[0], list | tuple) else reply[1])
