"""Prepares a long-running process: signals, standard descriptors and streams, and the terminal.

A parent may have blocked or ignored signals, closed descriptors, or redirected output to a full disk. The process must
serve in spite of that.

SIGHUP has two meanings. When a terminal closes, the system sends it to the foreground processes, which then stop as at
Ctrl-C. In every other case it requests that a broker or worker reloads its files.
"""

import asyncio
import errno
import io
import os
import signal
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

_TERMINAL = "/dev/tty"
_CHECK_INTERVAL_S = 5.0
"""How often the terminal is checked, in s. A terminal that closed long before a SIGHUP did not cause it."""

_IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
"""Signals that Python ignores in its own process and resets in every program that it starts."""
_STOPPING = {signal.SIGTTIN, signal.SIGTTOU}


class Terminal:
    """The controlling terminal of the process, if it has one."""

    def __init__(self, *, is_ignored: bool = False) -> None:
        """`is_ignored`: the process must continue when its terminal closes, as below nohup."""
        self.is_ignored = is_ignored
        self.on_failure: Callable[[], None] | None = None
        """Called when output fails because the terminal closed, or because the reader of stdout is gone."""
        self.is_unread = False
        """Whether the reader of stdout is gone."""
        self._number = -1 if is_ignored else _open()
        self._seen_at = time.monotonic()

    def follow(self) -> None:
        """Check the terminal regularly, from the running loop."""
        if self._number >= 0 and self._is_open():
            self._seen_at = time.monotonic()
            asyncio.get_running_loop().call_later(_CHECK_INTERVAL_S, self.follow)

    def is_closed(self) -> bool:
        """Whether the terminal has just closed; False without a terminal, and below nohup."""
        return self._number >= 0 and not self._is_open() and time.monotonic() < self._seen_at + 2 * _CHECK_INTERVAL_S

    def failed(self, error: OSError) -> None:
        """Handle an error of stderr."""
        if error.errno == errno.EIO and not self.is_ignored:
            self._stop()

    def output_failed(self, error: OSError) -> None:
        """Handle an error of stdout, whose reader may have exited, as `head` does."""
        if error.errno == errno.EPIPE:
            self.is_unread = True
            self._stop()
        else:
            self.failed(error)

    def _stop(self) -> None:
        if self.on_failure is not None:
            self.on_failure()

    def _is_open(self) -> bool:
        try:
            termios.tcgetattr(self._number)
        except termios.error:
            return False
        return True


def prepare_to_serve() -> Terminal:
    """Open closed standard descriptors, reset signals, install streams that never raise; the terminal.

    Call it before the process has threads, open files or an event loop. If the parent ignores SIGHUP, as nohup does,
    the terminal is ignored too.
    """
    open_descriptors()
    terminal = Terminal(is_ignored=signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)
    _reset_signals()
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 -- open until the process exits
    sys.stdout = _lossy_stream(1, sys.stdout, terminal.output_failed)
    sys.stderr = _lossy_stream(2, sys.stderr, terminal.failed)
    return terminal


def open_descriptors() -> None:
    """Open closed descriptors 0, 1 and 2 on /dev/null. Otherwise a socket would get one of these numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number, so equal to `number`
            os.set_inheritable(opened, True)  # noqa: FBT003 -- the system's own signature


def _reset_signals() -> None:
    """Unblock all signals. Replace SIG_IGN, which started programs would inherit, by a handler or the default."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - _IGNORED_BY_PYTHON:
        if signal.getsignal(number) is not signal.SIG_IGN:
            continue
        if number in {signal.SIGCHLD, signal.SIGTERM, *_STOPPING}:
            signal.signal(number, signal.SIG_DFL)
        elif number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)
        else:
            with suppress(OSError):  # valgrind keeps a signal for itself
                signal.signal(number, _ignore)  # exec resets a handler, but not SIG_IGN


def _ignore(_number: int, _frame: object) -> None:
    """Do nothing."""


class _LossyWriter(io.FileIO):
    """Writes to a descriptor. Output that cannot be written is dropped, and `failed` gets the error."""

    def __init__(self, number: int, failed: Callable[[OSError], None]) -> None:
        super().__init__(number, "wb", closefd=False)
        self._failed = failed

    def write(self, content: object, /) -> int:
        """Write a part of the content, or drop all of it after an error."""
        size_bytes = memoryview(content).nbytes  # type: ignore[arg-type]
        try:
            written = super().write(content)  # type: ignore[arg-type]
        except OSError as error:
            self._failed(error)
            return size_bytes
        return size_bytes if written is None else written  # None: it would block


def _lossy_stream(number: int, stream: TextIO | None, failed: Callable[[OSError], None]) -> TextIO:
    """A text stream on this descriptor that replaces `stream`, unless `stream` has another descriptor, as in a test.

    Characters that its encoding lacks are escaped.
    """
    if stream is not None and _number_of(stream) != number:
        return stream
    raw = io.BufferedWriter(_LossyWriter(number, failed))
    encoding = stream.encoding if stream is not None else "utf-8"
    return io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", line_buffering=True)


def _number_of(stream: TextIO) -> int:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return -1


def _open() -> int:
    try:
        return os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return -1
