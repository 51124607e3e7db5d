"""Checks the result that a consumer sends for a job."""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from broker.core.errors import Invalid, TooLarge

MAX_DEPTH = 100
"""How many levels deep a result may be nested. Clients and the dashboard read it by recursion."""


def checked_result(result: Raw, limit_bytes: int) -> Raw | UnsetType:
    """The JSON in the form that is stored: on one line, without spaces between its parts. UNSET for null.

    Raises Invalid for what is no JSON or is nested too deeply, TooLarge above the limit.
    """
    given = bytes(result)
    if given == b"null":
        return UNSET
    try:
        value = msgspec.json.decode(given)  # the decoder of the body looked at its brackets only
        text = msgspec.json.format(given, indent=-1)
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Invalid("result must be valid JSON.", fields="result") from None
    if len(text) > limit_bytes:
        raise TooLarge(f"A result may have {limit_bytes} bytes at most.")
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _depth_of(value) > MAX_DEPTH:
        raise _too_deep()
    return Raw(text)


def _too_deep() -> Invalid:
    return Invalid(f"result may be nested {MAX_DEPTH} levels deep at most.", fields="result")


def _depth_of(value: Any) -> int:
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, list | dict)]:
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return depth
