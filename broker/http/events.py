"""Events as server-sent events: what one client gets of the stream of all brokers, filtered and bounded.

A client that reads too slowly loses what is more than MOST_WAITING events behind, and gets `event: gap` in its place.
Each of them learns the id of its place in the stream, also while it gets no events: so it can continue anywhere.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from math import inf
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from broker.auth.grants import Grant
from broker.core.errors import LimitReached, TitanError
from broker.core.timestamps import rfc3339
from broker.core.words import counted
from broker.http.error_responses import response_to
from broker.http.request.body import Request
from broker.metrics.exposition import Family, Sample, counter, gauge
from broker.models.events import CloudEvent, Event
from broker.store.event_buffer import Row
from broker.store.event_entries import EventEntry, EventPosition

PING_S = 15.0
"""While nothing happens a comment is sent this often; and the token of each client is checked again."""
MOST_WAITING = 1000
"""Events that wait for one client at most."""
SLOW_S = 60.0
"""A client that has read nothing for so long is dropped, in s. One that only pauses gets a gap before that."""
ONE_GAP_S = 5.0
"""Gaps without events between them are one within this time, in s: several brokers may say the same."""
SLOW = "The client read too slowly."

_encode = msgspec.json.Encoder().encode


class Wanted(NamedTuple):
    """Which events a client gets. No groups or kinds: all that its token is for."""

    grant: Grant
    groups: Collection[str]
    kinds: Collection[str]
    is_cloud: bool

    def has(self, row: Row) -> bool:
        """Whether the client gets this event. Those about workers are for tokens for all groups."""
        kind, group, *_ = row
        if self.kinds and kind not in self.kinds:
            return False
        if self.groups:
            return group in self.groups
        return self.grant.reaches(group) if group else not self.grant.is_limited


class EventClient:
    """One client: a listener of the feed. `pieces` waits for what to send next."""

    def __init__(self, wanted: Wanted, on_gap: Callable[[], None]) -> None:
        self.after = EventPosition(0, 0, -1)
        """Events up to this position are left out."""
        self.at = self.after
        """The last entry that came, for this client or not."""
        self._gap_at = -inf
        self._wanted = wanted
        self._on_gap = on_gap
        self._waiting: deque[bytes] = deque()
        self._something = asyncio.Event()
        self._is_stopped = False

    def take(self, entry: EventEntry) -> None:
        """Have the events of an entry sent that the client asked for."""
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.clear()
            self._put(self.gap(SLOW))
        if not entry.position.ms:
            self.after = EventPosition(0, 0, -1)  # the stream may have begun again
        if entry.gap and time.monotonic() - self._gap_at < ONE_GAP_S:
            entry = entry._replace(gap="")
        pieces = list(self.pieces_of(entry))
        for piece in pieces:
            self._put(piece)
        if pieces:
            self._gap_at = time.monotonic() if entry.gap and len(pieces) == 1 else -inf
        if entry.position.ms:
            self.at = entry.position

    def problem(self, fault: TitanError) -> None:
        """Say that the store cannot be read."""
        self._put(problem_of(fault))

    def stop(self) -> None:
        """End the stream."""
        self._is_stopped = True
        self._something.set()

    def pieces_of(self, entry: EventEntry) -> Iterator[bytes]:
        """An entry as server-sent events."""
        if entry.gap and not (entry.position.ms and entry.position._replace(number=-1) <= self.after):
            yield self.gap(entry.gap)
        for number, row in enumerate(entry.rows):
            position = entry.position._replace(number=number)
            if position > self.after and self._wanted.has(row):
                yield _event(position, row, is_cloud=self._wanted.is_cloud)

    def gap(self, reason: str) -> bytes:
        """What tells the client that events are missing here."""
        self._on_gap()
        return b"event: gap\ndata: %b\n\n" % _encode({"reason": reason})

    async def next(self) -> bytes | None:
        """All that waits, or the place in the stream if nothing comes; None when the broker stops."""
        if not self._waiting and not self._is_stopped:
            try:
                await asyncio.wait_for(self._something.wait(), PING_S)
            except TimeoutError:
                return place("", self.at)
        if self._is_stopped:
            return None
        self._something.clear()
        waiting, self._waiting = self._waiting, deque()
        return b"".join(waiting) or place("", self.at)

    def _put(self, piece: bytes) -> None:
        self._waiting.append(piece)
        self._something.set()


class EventClients:
    """The clients that listen at this broker, `most` at once.

    The front end sets `check`, which raises an error for a request whose token is no longer valid.
    """

    def __init__(self, most: int) -> None:
        self.check: Callable[[Request, Grant], Awaitable[None]] = _admit
        self._most = most
        self._clients: set[EventClient] = set()
        self._gaps = 0
        self._is_stopped = False

    @contextmanager
    def one(self, wanted: Wanted) -> Iterator[EventClient]:
        """A client inside the block. Raises LimitReached."""
        if len(self._clients) >= self._most:
            raise LimitReached(f"This broker has {counted(self._most, 'listener')} to events already.")
        client = EventClient(wanted, self._count_gap)
        self._clients.add(client)
        if self._is_stopped:
            client.stop()
        try:
            yield client
        finally:
            self._clients.discard(client)

    def stop(self) -> None:
        """End every stream."""
        self._is_stopped = True
        for client in self._clients:
            client.stop()

    def families(self) -> list[Family]:
        """The number of clients and of gaps, as metrics."""
        return [
            gauge("titan_event_listeners", "Clients that listen to events.", [Sample(len(self._clients))]),
            counter("titan_event_gaps_total", "Gaps that were sent to clients.", [Sample(self._gaps)]),
        ]

    def _count_gap(self) -> None:
        self._gaps += 1


def problem_of(fault: TitanError) -> bytes:
    """An error as server-sent event."""
    body = response_to(fault, "GET", "/v1/events", lambda: "a listener").body
    return b"event: problem\ndata: %b\n\n" % body


def place(comment: str, at: EventPosition) -> bytes:
    """A comment, with the id of a place in the stream if there is one: a client that comes back continues there."""
    return b": %b\n" % comment.encode() + (b"id: %b\n\n" % at.name.encode() if at.ms else b"\n")


async def _admit(_: Request, __: Grant) -> None:
    """Admit every client."""


def _event(position: EventPosition, row: Row, *, is_cloud: bool) -> bytes:
    kind, group, n, ids, by = row
    at = rfc3339(position.ms)
    event = Event(group=group, kind=kind, n=n, ids=ids, more=n - len(ids) if n > len(ids) else UNSET, at=at, by=by)
    name = position.name
    data = _encode(_cloud(name, event) if is_cloud else event)
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (name.encode(), kind.encode(), data)


def _cloud(name: str, event: Event) -> CloudEvent:
    about, _, what = event.kind.partition("_")
    if about == "worker":
        kind = f"worker.{what}"
    elif event.kind in ("paused", "resumed"):
        kind = f"group.{event.kind}"
    else:
        kind = "bulk" if event.kind == "bulk" else f"job.{event.kind}"
    subject = "/".join(part for part in (event.group, event.ids[0] if event.n == len(event.ids) == 1 else "") if part)
    return CloudEvent(id=name, type=f"titan.{kind}", subject=subject, time=event.at, data=event)
