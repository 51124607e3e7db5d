"""Cursors: the end of a page, as text that a client sends back to get the next page."""

import base64
import binascii
import re
from collections.abc import Sequence

from broker.core.errors import Invalid

PIECE = 250
"""Rows that one script call reads. A longer page takes several calls, and the store serves other clients in between."""
ANSWER_BYTES = 8 * 1024 * 1024
"""An answer with this many bytes of jobs gets no further job."""
_POSITION = re.compile(r"(-?\d{1,17}) ([0-9A-Za-z_-]{1,128})", re.ASCII)


def cursor(score: str, member: str) -> str:
    """The cursor after the member with this score."""
    return base64.urlsafe_b64encode(f"{score} {member}".encode()).decode().rstrip("=")


def cursor_of(score: bytes, member: bytes) -> str:
    """The same from the reply of a script; '' for no member, at the end of the list."""
    return cursor(score.decode(), member.decode()) if member else ""


def position(text: str) -> tuple[str, str]:
    """The score and member of a cursor; two empty texts without one. Raises Invalid."""
    if not text:
        return "", ""
    try:
        plain = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError) as error:
        raise _foreign() from error
    found = _POSITION.fullmatch(plain)
    if found is None:
        raise _foreign()
    return found[1], found[2]


def cursor_in(sets: Sequence[str], i: int, begin: str) -> str:
    """The cursor of a list of several sets that continues in sets[i] at `begin`; '' is its first member."""
    return begin if len(sets) == 1 else f"{sets[i]}.{begin}"


def set_of(text: str, sets: Sequence[str]) -> tuple[int, str]:
    """The set in which a cursor continues, and its position there; the first set without a cursor. Raises Invalid."""
    name, dot, begin = text.rpartition(".")
    if not text:
        return 0, ""
    if bool(dot) != (len(sets) > 1) or (dot and name not in sets):
        raise _foreign()
    return sets.index(name) if dot else 0, begin


def _foreign() -> Invalid:
    return Invalid("The cursor is not one that a list with these parameters gave.", fields="cursor")
