"""SIGTERM and SIGINT: the first asks to stop, a second one stops at once. The work handles other signals.

One stop may arrive as several signals: `pkill` and systemd send SIGTERM to the keeper and to the worker, and the keeper
forwards its own; a wrapper forwards a Ctrl-C that the terminal sent to every process. So signals within GATHER_S of the
first are the same stop, and so is the first one that comes the other way. Only a further one is a second stop.

Jobs run in this process and may change signal handlers, block the loop, or leave threads that never end. A stop ends in
its time nevertheless.
"""

import asyncio
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from worker.daemon import parent_watch

STOPPED_NOW = 1

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_OTHER_WAY_S = 5.0
"""How long after the first signal one that comes the other way is the same stop, s."""
_AGAIN_S = 1.0
_LAST_S = 3.0
"""How long the process may take to exit after the work is done, s."""
_log = logging.getLogger(__name__)
_asked_at: float | None = None


def asked_at() -> float | None:
    """When the first stop signal arrived, by the monotonic clock; None before. Works while the loop is blocked too."""
    return _asked_at


class Stops:
    """Counts stop signals, and distinguishes a second stop from one that arrives twice."""

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
        """Count everything received so far as one stop."""
        self._first = self._ways()

    def is_second(self) -> bool:
        """Whether more was received than one stop explains."""
        is_free = time.monotonic() < self._first_at + _OTHER_WAY_S
        return any(now > max(first, is_free) for now, first in zip(self._ways(), self._first, strict=True))

    def _ways(self) -> tuple[int, int]:
        """How many signals came through the keeper, and how many directly."""
        passed_on = parent_watch.stops_passed_on()
        return passed_on, max(0, self._received - passed_on)


async def until_signalled(
    work: Callable[[asyncio.Event], Awaitable[int]],
    others: Mapping[signal.Signals, Callable[[], None]] | None = None,
    is_hung_up: Callable[[], bool] = lambda: False,
    longest_s: float = math.inf,
) -> int:
    """Do the work with an event that the first stop sets; a second stop cancels the work. The exit code.

    SIGHUP is a stop too if `others` does not have it, or if `is_hung_up` says that the terminal is closed. The process
    exits at most `longest_s` after the first signal.
    """
    asked = _Asked(others or {}, is_hung_up, longest_s)
    asked.listen()
    listening = asyncio.create_task(asked.listen_again())
    code = STOPPED_NOW
    try:
        code = await work(asked.stop)
    except asyncio.CancelledError:
        if not asked.is_now:
            raise
    finally:
        listening.cancel()
        asked.close()
        if longest_s < math.inf:
            _end_after(_LAST_S, code)
    return code


class _Asked:
    """Handles the signals for the current task."""

    def __init__(
        self, others: Mapping[signal.Signals, Callable[[], None]], is_hung_up: Callable[[], bool], longest_s: float
    ) -> None:
        self.stop = asyncio.Event()
        self.is_now = False
        self._is_gathered = False
        self._others = others
        self._is_hung_up = is_hung_up
        self._longest_s = longest_s
        self._stops = Stops()
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()

    def listen(self) -> None:
        """Handle signals from now on."""
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._on_stop, number)
            self._note(number)
        for number, call in {**self._others, signal.SIGHUP: self._on_hangup}.items():
            self._loop.add_signal_handler(number, call)

    async def listen_again(self) -> None:
        """Install the handlers again each second: a job in this process may have changed them."""
        while True:
            await asyncio.sleep(_AGAIN_S)
            self.listen()

    def close(self) -> None:
        """Stop handling signals."""
        for number in {*_SIGNALS, *self._others, signal.SIGHUP}:
            self._loop.remove_signal_handler(number)

    def _note(self, number: signal.Signals) -> None:
        """Note the signal in a plain handler, which runs also while a job blocks the loop."""
        passed_on = signal.getsignal(number)

        def note(*arguments: Any) -> None:
            self._received()
            if callable(passed_on):
                passed_on(*arguments)

        signal.signal(number, note)

    def _received(self) -> None:
        global _asked_at  # noqa: PLW0603 -- a fact of the process
        is_first = not self._stops.is_asked
        self._stops.received()
        if is_first:
            _asked_at = time.monotonic()
            gathering = threading.Timer(parent_watch.GATHER_S, self._gathered)  # the loop may be blocked
            gathering.daemon = True
            gathering.start()
            self._end_in(self._longest_s)
        elif self._is_gathered and self._stops.is_second():
            self._end_in(2 * _LAST_S)

    def _gathered(self) -> None:
        self._stops.gathered()
        self._is_gathered = True
        with suppress(RuntimeError):  # the loop is closed: the work is done
            self._loop.call_soon_threadsafe(self.stop.set)

    def _on_stop(self, number: signal.Signals) -> None:
        if self._is_gathered and self._stops.is_second() and self._task is not None:
            _log.warning("%s again: stopping now", number.name)
            self.is_now = True
            self._task.cancel()

    def _end_in(self, wait_s: float) -> None:
        if self._longest_s < math.inf:
            _end_after(wait_s, STOPPED_NOW)

    def _on_hangup(self) -> None:
        if signal.SIGHUP in self._others and not self._is_hung_up():
            self._others[signal.SIGHUP]()
        elif not self.stop.is_set():
            _log.warning("the terminal is closed: stopping")
            self.stop.set()


def _end_after(wait_s: float, code: int) -> None:
    """Exit with this code after `wait_s`, unless the process has exited before."""
    threading.Thread(target=_end, args=(wait_s, code), name="end", daemon=True).start()


def _end(wait_s: float, code: int) -> None:
    time.sleep(wait_s)
    _log.error("something that a job has started does not end: the worker exits without it")
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)
