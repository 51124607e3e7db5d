"""Retry-After, as HTTP has it: how long to wait, in seconds or until a date."""

import time
from email.utils import parsedate_to_datetime

from worker.jobs.outcome import MAX_DELAY_S


def wait_s(text: str) -> int | None:
    """The value of Retry-After in s from now; None for a text that is neither seconds nor a date."""
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), MAX_DELAY_S)
    try:
        at = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(0, round(at - time.time())), MAX_DELAY_S)


def wait_in(line: str) -> int | None:
    """The same for a line `Retry-After: 30`, which a command may write as its last one."""
    name, colon, value = line.partition(":")
    return wait_s(value.strip()) if colon and name.strip().lower() == "retry-after" else None
