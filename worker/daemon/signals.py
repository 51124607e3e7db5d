"""SIGTERM and SIGINT: the first asks to stop, a second one stops at once. The work handles other signals.

One stop may arrive as several signals: `pkill` and systemd send SIGTERM to the parent and to the worker, and the parent
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
_OTHER_SOURCE_S = 5.0
"""How long after the first signal one that comes the other way is the same stop, s."""
_AGAIN_S = 1.0
_LAST_S = 3.0
"""How long the process may take to exit after the work is done, s."""
_log = logging.getLogger(__name__)
_stop_requested_at: float | None = None


def stop_requested_at() -> float | None:
    """When the first stop signal arrived, by the monotonic clock; None before. Works while the loop is blocked too."""
    return _stop_requested_at


class StopCounter:
    """Counts stop signals, and distinguishes a second stop from one that arrives twice."""

    def __init__(self) -> None:
        self._received = 0
        self._first_at = 0.0
        self._first_counts = (0, 0)

    @property
    def has_stop(self) -> bool:
        """Whether any was received."""
        return self._received > 0

    def received(self) -> None:
        """Note a signal."""
        self._first_at = self._first_at or time.monotonic()
        self._received += 1

    def end_first_stop(self) -> None:
        """Count everything received so far as one stop."""
        self._first_counts = self._counts_by_source()

    def is_second(self) -> bool:
        """Whether more was received than one stop explains."""
        allowed = time.monotonic() < self._first_at + _OTHER_SOURCE_S
        return any(
            now > max(first, allowed) for now, first in zip(self._counts_by_source(), self._first_counts, strict=True)
        )

    def _counts_by_source(self) -> tuple[int, int]:
        """How many signals came through the parent, and how many directly."""
        forwarded = parent_watch.stops_forwarded()
        return forwarded, max(0, self._received - forwarded)


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
    handlers = _SignalHandlers(others or {}, is_hung_up, longest_s)
    handlers.install()
    reinstalling = asyncio.create_task(handlers.reinstall())
    code = STOPPED_NOW
    try:
        code = await work(handlers.stop)
    except asyncio.CancelledError:
        if not handlers.is_forced:
            raise
    finally:
        reinstalling.cancel()
        handlers.close()
        if longest_s < math.inf:
            _end_after(_LAST_S, code)
    return code


class _SignalHandlers:
    """Handles the signals for the current task."""

    def __init__(
        self, others: Mapping[signal.Signals, Callable[[], None]], is_hung_up: Callable[[], bool], longest_s: float
    ) -> None:
        self.stop = asyncio.Event()
        self.is_forced = False
        self._is_first_stop_complete = False
        self._others = others
        self._is_hung_up = is_hung_up
        self._longest_s = longest_s
        self._stops = StopCounter()
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()

    def install(self) -> None:
        """Handle signals from now on."""
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._on_stop, number)
            self._wrap_handler(number)
        for number, call in {**self._others, signal.SIGHUP: self._on_hangup}.items():
            self._loop.add_signal_handler(number, call)

    async def reinstall(self) -> None:
        """Install the handlers again each second: a job in this process may have changed them."""
        while True:
            await asyncio.sleep(_AGAIN_S)
            self.install()

    def close(self) -> None:
        """Stop handling signals."""
        for number in {*_SIGNALS, *self._others, signal.SIGHUP}:
            self._loop.remove_signal_handler(number)

    def _wrap_handler(self, number: signal.Signals) -> None:
        """Note the signal in a plain handler, which runs also while a job blocks the loop."""
        previous = signal.getsignal(number)

        def handle(*arguments: Any) -> None:
            self._received()
            if callable(previous):
                previous(*arguments)

        signal.signal(number, handle)

    def _received(self) -> None:
        global _stop_requested_at  # noqa: PLW0603 -- a fact of the process
        is_first = not self._stops.has_stop
        self._stops.received()
        if is_first:
            _stop_requested_at = time.monotonic()
            timer = threading.Timer(parent_watch.GATHER_S, self._on_first_stop)  # the loop may be blocked
            timer.daemon = True
            timer.start()
            self._end_in(self._longest_s)
        elif self._is_first_stop_complete and self._stops.is_second():
            self._end_in(2 * _LAST_S)

    def _on_first_stop(self) -> None:
        self._stops.end_first_stop()
        self._is_first_stop_complete = True
        with suppress(RuntimeError):  # the loop is closed: the work is done
            self._loop.call_soon_threadsafe(self.stop.set)

    def _on_stop(self, number: signal.Signals) -> None:
        if self._is_first_stop_complete and self._stops.is_second() and self._task is not None:
            _log.warning("%s again: stopping now", number.name)
            self.is_forced = True
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
