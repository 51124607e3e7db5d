"""The text that the store has of a job, in the hash `jobs`: what of it never changes.

Its parts have a space between them: its settings, JSON of those that are not the default, where there are any;
group_name; created_at, ms; its spec, JSON. A large spec is not in it, but a field of the job's own hash.
"""

from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec import Struct

from broker.models.jobs import DEFAULT_RETRIES_DELAY_S, DEFAULT_TIMEOUT_S


class Spec(Struct, frozen=True, omit_defaults=True):
    """What the producer gave and no script needs, as JSON."""

    image: str
    payload: str = ""


class Settings(Struct, frozen=True, omit_defaults=True):
    """What a producer may set about a job beside its image and payload, s; and the job that this one retries."""

    delay: int = 0
    timeout: int = DEFAULT_TIMEOUT_S
    priority: int = 0
    max_retries: int = 0
    retries_delay: int = DEFAULT_RETRIES_DELAY_S
    retry_of: str = ""


class Parts(NamedTuple):
    """The parts of a job's text before its spec; `settings` is empty when all are the defaults."""

    settings: bytes
    group_name: bytes
    created_at: bytes


_encode = msgspec.json.Encoder().encode
_settings_of = msgspec.json.Decoder(Settings).decode

spec_of = msgspec.json.Decoder(Spec).decode
"""The spec that a text has."""


def split(text: bytes) -> tuple[bytes, bytes]:
    """What stands in a job's text before its spec, and inside the braces of that; nothing where that is large."""
    at = text.find(b" {")  # settings, which have a brace too, stand at the very beginning
    return (text[:at], text[at + 2 : -1]) if at >= 0 else (text, b"")


def parts_of(head: bytes) -> Parts:
    """The parts of a job's text before its spec. Raises ValueError where it is none."""
    *settings, group_name, created_at = head.split()
    return Parts(settings[0] if settings else b"", group_name, created_at)


def settings_text(settings: Settings) -> bytes:
    """The settings as a text has them; empty when all are the defaults, and there are none in it."""
    text = _encode(settings)
    return b"" if text == b"{}" else text


@lru_cache(maxsize=1024)
def settings_of(text: bytes) -> Settings:
    """What a text has as settings; b"" where it has none. Most jobs are set alike.

    What somebody wrote there by hand and is no such JSON counts as none, as it does in the scripts.
    """
    try:
        return _settings_of(text or b"{}")
    except msgspec.MsgspecError:
        return Settings()
