"""SIGTERM and SIGINT: the first asks to stop, a second one stops now. Other signals do what the work says.

One stop may arrive as several signals: `pkill` and systemd send SIGTERM to the keeper and to the worker, and the keeper
passes its own on; a wrapper passes on a Ctrl-C that the terminal sent to everybody. So signals within GATHER_S of the
first are the same stop, and so is the first that comes by the other way. Only a further one is somebody's second.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Mapping

from worker import keeper

STOPPED_NOW = 1

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_OTHER_WAY_S = 5.0
"""How long after the first signal one that comes by the other way is still the same stop."""
_logger = logging.getLogger(__name__)


class Stops:
    """Counts signals that ask to stop, and tells a second stop from the same one that arrives twice."""

    def __init__(self) -> None:
        self._received = 0
        self._first_at = 0.0
        self._first = (0, 0)

    @property
    def is_asked(self) -> bool:
        """Whether any was received."""
        return self._received > 0

    def received(self) -> None:
        """Note a signal."""
        self._first_at = self._first_at or time.monotonic()
        self._received += 1

    def gathered(self) -> None:
        """What was received so far is one stop."""
        self._first = self._ways()

    def is_second(self) -> bool:
        """Whether more was received than one stop explains."""
        is_free = time.monotonic() < self._first_at + _OTHER_WAY_S
        return any(now > max(first, is_free) for now, first in zip(self._ways(), self._first, strict=True))

    def _ways(self) -> tuple[int, int]:
        """How many came through the keeper, and how many directly."""
        passed_on = keeper.stops_passed_on()
        return passed_on, max(0, self._received - passed_on)


async def until_signalled(
    work: Callable[[asyncio.Event], Awaitable[int]],
    others: Mapping[signal.Signals, Callable[[], None]] | None = None,
    is_hung_up: Callable[[], bool] = lambda: False,
) -> int:
    """Do the work with an event that the first signal sets; a second one cancels it. The exit code.

    SIGHUP asks to stop too when `others` does not name it, or when `is_hung_up` says that the terminal is closed.
    """
    asked = _Asked(others or {}, is_hung_up)
    asked.listen()
    try:
        return await work(asked.stop)
    except asyncio.CancelledError:
        if not asked.is_now:
            raise
        return STOPPED_NOW
    finally:
        asked.close()


class _Asked:
    """What signals ask of the current task."""

    def __init__(self, others: Mapping[signal.Signals, Callable[[], None]], is_hung_up: Callable[[], bool]) -> None:
        self.stop = asyncio.Event()
        self.is_now = False
        self._others = others
        self._is_hung_up = is_hung_up
        self._stops = Stops()
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()

    def listen(self) -> None:
        """Handle signals from now on."""
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._on_stop, number)
        for number, call in {**self._others, signal.SIGHUP: self._on_hangup}.items():
            self._loop.add_signal_handler(number, call)

    def close(self) -> None:
        """Handle none any more."""
        for number in {*_SIGNALS, *self._others, signal.SIGHUP}:
            self._loop.remove_signal_handler(number)

    def _on_stop(self, number: signal.Signals) -> None:
        if not self._stops.is_asked:
            self._loop.call_later(keeper.GATHER_S, self._gathered)
        self._stops.received()
        if self.stop.is_set() and self._stops.is_second() and self._task is not None:
            _logger.warning("%s again: stopping now", number.name)
            self.is_now = True
            self._task.cancel()

    def _gathered(self) -> None:
        self._stops.gathered()
        self.stop.set()

    def _on_hangup(self) -> None:
        if signal.SIGHUP in self._others and not self._is_hung_up():
            self._others[signal.SIGHUP]()
        elif not self.stop.is_set():
            _logger.warning("the terminal is closed: stopping")
            self.stop.set()
