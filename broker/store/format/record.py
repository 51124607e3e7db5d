"""The record of a job, the value in the hash `jobs`: everything about it that never changes.

Its parts are separated by a space: settings that are not the default, JSON, if any; group_name; created_at, ms; spec,
JSON. A large spec is a field of the job's own hash instead. lua/README.md has the grammar.
"""

from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec import Struct

from broker.models.jobs import DEFAULT_RETRIES_DELAY_S, DEFAULT_TIMEOUT_S
from broker.models.retries import DEFAULT_CAP_S, DEFAULT_DELAY_S, DEFAULT_JITTER


class Spec(Struct, frozen=True, omit_defaults=True):
    """Image and payload: no script reads them."""

    image: str
    payload: str = ""


class Settings(Struct, frozen=True, omit_defaults=True, cache_hash=True):
    """The other settings of a job, times in s; and the job that this one retries.

    `due`, `start_before` and `end_before` are ms since 1970; 0: not given. `due` says when a delay ends that is not a
    whole number of seconds. `hooks`: 1 for a job with a deadline. `inputs`: 1 for a job that waits for others.
    `schedule` made the job, for the time `scheduled_for`.
    Without a retry policy retry_max is -1. retry_factor is in thousandths; retry_backoff is 0 for constant, 1 for
    linear and 2 for exponential; reasons have a comma between them. `batch` is the id of the batch of a member; of a
    callback there are colons, its name, and the counts total, succeeded, failed and cancelled behind the id.
    `dead_letter_of` is the group of the job that failed, of which this one is a copy. `tracestate` is escaped as
    traces.py says.
    """

    delay: int = 0
    timeout: int = DEFAULT_TIMEOUT_S
    priority: int = 0
    max_retries: int = 0
    retries_delay: int = DEFAULT_RETRIES_DELAY_S
    retry_of: str = ""
    schedule: str = ""
    scheduled_for: int = 0
    hooks: int = 0
    due: int = 0
    start_before: int = 0
    end_before: int = 0
    inputs: int = 0
    retry_max: int = -1
    retry_backoff: int = 2
    retry_factor: int = 2000
    retry_delay: int = DEFAULT_DELAY_S
    retry_cap: int = DEFAULT_CAP_S
    retry_jitter: int = DEFAULT_JITTER
    retry_max_age: int = 0
    retry_except: str = ""
    retry_only: str = ""
    batch: str = ""
    dead_letter_of: str = ""
    traceparent: str = ""
    tracestate: str = ""


class Parts(NamedTuple):
    """The header of a record: its parts before the spec. `settings` is empty if all are the defaults."""

    settings: bytes
    group_name: bytes
    created_at: bytes


_encode = msgspec.json.Encoder().encode
_settings_of = msgspec.json.Decoder(Settings).decode

spec_of = msgspec.json.Decoder(Spec).decode
"""Decodes a spec."""


def split(record: bytes) -> tuple[bytes, bytes]:
    """The header of a record, and its spec without the braces; b"" for a spec that is in the job's own hash."""
    at = record.find(b" {")  # settings begin with a brace too, but without a space before
    return (record[:at], record[at + 2 : -1]) if at >= 0 else (record, b"")


def parts_of(header: bytes) -> Parts:
    """Parse the header of a record. Raises ValueError."""
    *settings, group_name, created_at = header.split()
    return Parts(settings[0] if settings else b"", group_name, created_at)


def settings_text(settings: Settings) -> bytes:
    """The settings as JSON; empty if all are the defaults."""
    text = _encode(settings)
    return b"" if text == b"{}" else text


@lru_cache(maxsize=1024)
def settings_of(text: bytes) -> Settings:
    """Parse the settings of a record; b"" is all defaults. Cached, since most jobs have the same settings.

    Invalid JSON, which somebody wrote by hand, counts as no settings, as in the scripts.
    """
    try:
        return _settings_of(text or b"{}")
    except msgspec.MsgspecError:
        return Settings()
