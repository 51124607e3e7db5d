"""Exceptions by which a handler says how its job failed.

raise titan.Retry(after=30)
raise titan.Fail("bad_input", "no such address", retry=False)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Union

Wait = Union[int, float, timedelta]
"""A wait: a number of seconds, or a timedelta; rounded up to whole seconds."""


class Fail(Exception):
    """The job failed: `reason` is a word for programs, `error` a text for people.

    `retry` False: it is not tried again, whatever its retry policy or max_retries says.
    """

    after: Wait | None = None

    def __init__(self, reason: str = "failed", error: str = "", *, retry: bool = True) -> None:
        super().__init__(error or reason)
        self.reason = reason
        self.retry = retry


class Retry(Fail):
    """The job failed, and is tried again by its retry policy: `after` this wait, if given, else the policy's.

    Without a policy it is a failure like any other.
    """

    def __init__(self, error: str = "", *, after: Wait | None = None, reason: str = "temporary") -> None:
        super().__init__(reason, error)
        self.after = after
