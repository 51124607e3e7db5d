"""Waits before the next request after a failure, and logs one line an outage instead of one a request."""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from broker.core.errors import BY_WORD, TitanError
from broker.core.words import counted
from titan import attempts
from titan.errors import BrokerUnavailable, SpeaksDialect, StoreUnavailable

T = TypeVar("T")

PASSING: tuple[type[TitanError], ...] = (*attempts.PASSING, SpeaksDialect)
"""Errors that end without a change: the same call may succeed later, perhaps at another broker."""
_AWAY = (BrokerUnavailable, StoreUnavailable, SpeaksDialect)
"""Those of them that every loop of a worker meets at once."""

_FIRST_S = 0.5

_log = logging.getLogger(__name__)


class Outage:
    """Whether the broker is away, for all loops of a worker: one line when they notice it, and one at its end.

    Loops of several threads use it.
    """

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()
        """How many calls have failed since the start, by what the loop says that it does."""
        self._lock = threading.Lock()
        self._failing: set[Backoff] = set()
        self._since = 0.0

    @property
    def is_present(self) -> bool:
        """Whether a loop waits for the broker."""
        return bool(self._failing)

    def begin(self, loop: "Backoff", verb: str, error: TitanError) -> None:
        """Note that a call of this loop failed because the broker or its store is away."""
        with self._lock:
            is_known = bool(self._failing)
            self._failing.add(loop)
            if not is_known:
                self._since = time.monotonic()
        if not is_known:
            _log.warning("%s: %s; trying again until it works", verb, error.message.rstrip("."))

    def end(self) -> None:
        """Note that a call works again that failed in this outage."""
        with self._lock:
            was_known = bool(self._failing)
            self._failing.clear()
        if was_known:
            _log.info("the broker answers again after %.0f s", time.monotonic() - self._since)

    def leave(self, loop: "Backoff") -> None:
        """Note that this loop gives its call up. Without another one in the outage, the next failure begins another."""
        with self._lock:
            self._failing.discard(loop)


class Backoff:
    """Waits that double from 0.5 s up to `max_s`, with jitter, and never shorter than Retry-After.

    `outage`: that of all loops of a worker.
    """

    def __init__(self, verb: str, outage: Outage | None = None, max_s: float = 15.0) -> None:
        self._verb = verb
        self._outage = outage or Outage()
        self._max_s = max_s
        self._failures = 0
        self._is_away = False
        self._refusal = ""

    @property
    def is_failing(self) -> bool:
        """Whether the last call failed."""
        return self._failures > 0

    def failed(self, error: TitanError) -> float:
        """Note a failure; how long to wait now, in s. A refusal is logged as an error, once until it changes."""
        if isinstance(error, _AWAY):
            self._is_away = True
            self._outage.begin(self, self._verb, error)
        elif isinstance(error, PASSING):
            if not self._failures:
                _log.warning("%s: %s; trying again until it works", self._verb, error.message.rstrip("."))
        elif error.message != self._refusal:
            refusal = error.message.rstrip(".")
            _log.error("%s: the broker refuses it: %.4096s; trying again until it works", self._verb, refusal)
            self._refusal = error.message
        self._failures += 1
        self._outage.failures[self._verb] += 1
        return attempts.backoff_s(self._failures, error, _FIRST_S, self._max_s)

    def succeeded(self) -> None:
        """Note that the broker answered."""
        if self._is_away:
            self._outage.end()
        elif self._failures:
            _log.info("%s: works again after %s", self._verb, counted(self._failures, "failure"))
        self._failures = 0
        self._is_away = False
        self._refusal = ""

    def give_up(self) -> None:
        """Note that the call is not made again."""
        self._outage.leave(self)


def is_passing(code: str) -> bool:
    """Whether the `code` in an item of a bulk answer is that of such an error."""
    return issubclass(BY_WORD.get(code.upper(), TitanError), PASSING)


async def resend(
    verb: str, call: Callable[[], Awaitable[T]], tries: int | None = None, outage: Outage | None = None
) -> T:
    """Repeat a call until it succeeds. Raises any other error, and the last error after `tries` calls."""
    backoff = Backoff(verb, outage)
    while True:
        try:
            answer = await call()
        except PASSING as error:
            wait_s = backoff.failed(error)
            tries = None if tries is None else tries - 1
            if tries == 0:
                backoff.give_up()
                raise
        except BaseException:
            backoff.give_up()
            raise
        else:
            backoff.succeeded()
            return answer
        await asyncio.sleep(wait_s)
