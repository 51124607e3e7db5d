"""The stream of events as entries: their positions, and the commands that read and add them."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from broker.resp.resp_connection import Word
from broker.store.event_buffer import Row

KEPT = 2000
"""Entries of the stream, more or less; each has up to PIECE events."""
PIECE = 200
KEPT_MS = 3_600_000
"""How long the stream is kept after the last entry, and after the last listener."""

_ID = re.compile(r"(\d{1,16})-(\d{1,16})", re.ASCII)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Row]).decode


class EventPosition(NamedTuple):
    """A place in the stream: the id of an entry in two parts, and the number of an event in it."""

    ms: int = 0
    sequence: int = 0
    number: int = 999_999

    @property
    def entry(self) -> str:
        """The id of the entry."""
        return f"{self.ms}-{self.sequence}"

    @property
    def name(self) -> str:
        """The id that an event at this place has for clients."""
        return f"{self.entry}.{self.number}"


class EventEntry(NamedTuple):
    """An entry of the stream. `gap`: why events are missing before it, or ''.

    One without a position is not in the stream: a gap at the place where it comes.
    """

    position: EventPosition
    rows: Sequence[Row] = ()
    gap: str = ""


def gap_here(reason: str) -> EventEntry:
    """A gap that is not in the stream."""
    return EventEntry(EventPosition(), gap=reason)


def pieces(rows: Sequence[Row], gap: str) -> list[EventEntry]:
    """Events as entries that are not too large, after this gap if it is one."""
    cut = [rows[at : at + PIECE] for at in range(0, len(rows), PIECE)] or [[]]
    return [EventEntry(EventPosition(), piece, "" if at else gap) for at, piece in enumerate(cut)]


def position_of(text: str) -> EventPosition | None:
    """The position that an event had as its id; None for any other text."""
    entry, _, number = text.partition(".")
    found = _ID.fullmatch(entry)
    if found is None or not (number.isascii() and number.isdigit() and len(number) <= 6):
        return None
    return EventPosition(int(found[1]), int(found[2]), int(number))


def position_in(reply: bytes) -> EventPosition:
    """The position of an entry by the reply of XADD."""
    ms, _, sequence = reply.decode().partition("-")
    return EventPosition(int(ms), int(sequence))


def newest(key: str) -> Sequence[Word]:
    """Read the newest entry."""
    return "XREVRANGE", key, "+", "-", "COUNT", 1


def oldest(key: str) -> Sequence[Word]:
    """Read the oldest entry."""
    return "XRANGE", key, "-", "+", "COUNT", 1


def some(key: str, first: str, last: str, n: int) -> Sequence[Word]:
    """Read up to n entries between two ids; `(` before one leaves it out."""
    return "XRANGE", key, first, last, "COUNT", n


def keep(key: str) -> Sequence[Word]:
    """Have the stream kept for another KEPT_MS."""
    return "PEXPIRE", key, KEPT_MS


def added(key: str, entries: Iterable[EventEntry]) -> list[Sequence[Word]]:
    """Add entries. Their positions are what the store replies."""
    return [
        ("XADD", key, "MAXLEN", "~", KEPT, "*", "events", _encode(entry.rows), "gap", entry.gap) for entry in entries
    ]


def entries_of(reply: Sequence[Any]) -> list[EventEntry]:
    """The entries of XRANGE. What somebody else wrote into them is left out."""
    found = []
    for name, fields in reply or ():
        flat = [word for pair in fields.items() for word in pair] if isinstance(fields, dict) else fields
        values = dict(zip(flat[::2], flat[1::2], strict=True))
        try:
            rows = _decode(values.get(b"events", b"[]"))
        except msgspec.MsgspecError:
            rows = []
        found.append(EventEntry(position_in(name), rows, values.get(b"gap", b"").decode()))
    return found
