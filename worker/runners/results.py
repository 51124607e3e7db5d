"""What a job made, as JSON for its report.

A result is never a reason to fail a job that did its work: a retry would do the work again, and make the same result
again. So a result that cannot be kept is left out, and the receipt of the run says why.
"""

from typing import NamedTuple

import msgspec

from worker.jobs.texts import class_name, encoded
from worker.runners.async_calls import Interrupted

MAX_RESULT_BYTES = 262_144
"""The largest result that any broker keeps; most keep less."""
_BINARY = (bytes, bytearray, memoryview)
_encode = msgspec.json.Encoder().encode


class JobResult(NamedTuple):
    """A result as JSON; b"" is none. `note` says why there is none."""

    json: bytes = b""
    note: str = ""


NO_RESULT = JobResult()


def result_of_text(text: bytes) -> JobResult:
    """The result in a file or a response: JSON as it is, any other text as a JSON string without its last newline."""
    if len(text) > MAX_RESULT_BYTES:
        return _too_large(f"more than {MAX_RESULT_BYTES}")
    if not text.strip():
        return NO_RESULT
    try:
        value = msgspec.json.decode(text)
        return NO_RESULT if value is None else JobResult(msgspec.json.format(text, indent=-1))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        string = _encode(text.decode("utf-8", "backslashreplace").removesuffix("\n").removesuffix("\r"))
        return JobResult(string) if len(string) <= MAX_RESULT_BYTES else _too_large(str(len(string)))


def result_of_value(value: object) -> JobResult:
    """The result of a function: what it returned, if that is JSON. Never raises, whatever the value's code does."""
    if value is None or isinstance(value, _BINARY):
        return NO_RESULT
    try:
        json = encoded_text(value) if isinstance(value, str) else _encode(value)
    except Interrupted:
        raise
    except BaseException:  # noqa: BLE001 -- the value's own code, whatever it raises
        return JobResult(note=f"no result: what it returned, {class_name(value)}, is no JSON")
    return JobResult(json) if len(json) <= MAX_RESULT_BYTES else _too_large(str(len(json)))


def encoded_text(text: str) -> bytes:
    """A text as a JSON string; what cannot be sent is escaped."""
    return _encode(encoded(text).decode())


def _too_large(size: str) -> JobResult:
    return JobResult(note=f"no result: it had {size} bytes")
