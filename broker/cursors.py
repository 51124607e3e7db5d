"""Cursors: where a page of a list ended, as text that a client only sends back."""

import base64
import binascii
import re

from broker.errors import Invalid

_PLACE = re.compile(r"(-?\d{1,17}) ([0-9A-Za-z_-]{1,128})", re.ASCII)


def cursor(score: str, member: str) -> str:
    """The cursor behind the member with this score."""
    return base64.urlsafe_b64encode(f"{score} {member}".encode()).decode().rstrip("=")


def cursor_of(score: bytes, member: bytes) -> str:
    """The same of what a script answered; '' for no member, where the list ends."""
    return cursor(score.decode(), member.decode()) if member else ""


def place(text: str) -> tuple[str, str]:
    """The score and member of a cursor; two empty texts for none. Raises Invalid."""
    if not text:
        return "", ""
    try:
        plain = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError) as error:
        raise Invalid("The cursor is not one that a list gave.", fields="cursor") from error
    found = _PLACE.fullmatch(plain)
    if found is None:
        raise Invalid("The cursor is not one that a list gave.", fields="cursor")
    return found[1], found[2]
