"""Waits before the next request after a failure, and logs one line an outage instead of one a request."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from broker.core.errors import BY_WORD, TitanError
from broker.core.words import counted
from titan import attempts
from titan.errors import SpeaksDialect

T = TypeVar("T")

PASSING: tuple[type[TitanError], ...] = (*attempts.PASSING, SpeaksDialect)
"""Errors that end without a change: the same call may succeed later, perhaps at another broker."""

_FIRST_S = 0.5

_log = logging.getLogger(__name__)


class Backoff:
    """Waits that double from 0.5 s up to `max_s`, with jitter, and never shorter than Retry-After."""

    def __init__(self, verb: str, max_s: float = 15.0) -> None:
        self._verb = verb
        self._max_s = max_s
        self._failures = 0
        self._refusal = ""

    @property
    def is_failing(self) -> bool:
        """Whether the last call failed."""
        return self._failures > 0

    def failed(self, error: TitanError) -> float:
        """Note a failure; how long to wait now, in s. A refusal is logged as an error, once until it changes."""
        if isinstance(error, PASSING):
            if not self._failures:
                _log.warning("%s: %s; trying again until it works", self._verb, error.message.rstrip("."))
        elif error.message != self._refusal:
            refusal = error.message.rstrip(".")
            _log.error("%s: the broker refuses it: %.4096s; trying again until it works", self._verb, refusal)
            self._refusal = error.message
        self._failures += 1
        return attempts.backoff_s(self._failures, error, _FIRST_S, self._max_s)

    def succeeded(self) -> None:
        """Note that the broker answered."""
        if self._failures:
            _log.info("%s: works again after %s", self._verb, counted(self._failures, "failure"))
        self._failures = 0
        self._refusal = ""


def is_passing(code: str) -> bool:
    """Whether the `code` in an item of a bulk answer is that of such an error."""
    return issubclass(BY_WORD.get(code.upper(), TitanError), PASSING)


async def resend(verb: str, call: Callable[[], Awaitable[T]], tries: int | None = None) -> T:
    """Repeat a call until it succeeds. Raises any other error, and the last error after `tries` calls."""
    backoff = Backoff(verb)
    while True:
        try:
            answer = await call()
        except PASSING as error:
            wait_s = backoff.failed(error)
            tries = None if tries is None else tries - 1
            if tries == 0:
                raise
        else:
            backoff.succeeded()
            return answer
        await asyncio.sleep(wait_s)
