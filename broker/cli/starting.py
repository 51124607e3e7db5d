"""How a program that runs for long begins: it puts right what its parent handed down, so that it serves all the same.

A parent may have blocked or ignored signals, closed descriptors, or given it a full disk to write its lines on.
"""

import io
import os
import signal
import sys
from collections.abc import Callable
from typing import TextIO

from broker.cli.terminal import Terminal

_IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
"""Signals that Python ignores in each of its processes, and resets in each program that it starts."""
_STOPPING = {signal.SIGTTIN, signal.SIGTTOU}


def begin() -> Terminal:
    """Open the standard descriptors that are closed, make signals work, have streams that never fail; the terminal.

    To be called before there are threads, files or an event loop. A SIGHUP that the parent ignores, as nohup does, is
    remembered by the terminal.
    """
    open_descriptors()
    terminal = Terminal(is_ignored=signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)
    _reset_signals()
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 -- for as long as we run
    sys.stdout = _forgiving(1, sys.stdout, terminal.output_failed)
    sys.stderr = _forgiving(2, sys.stderr, terminal.failed)
    return terminal


def open_descriptors() -> None:
    """Open descriptors 0, 1 and 2 where they are closed, on nothing: else a socket would have one of these numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            lowest = os.open(os.devnull, os.O_RDWR)  # of the numbers that are free: this one
            os.set_inheritable(lowest, True)  # noqa: FBT003 -- the system's own signature


def _reset_signals() -> None:
    """Block no signal, and ignore none in a way that the programs which this one starts would inherit."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - _IGNORED_BY_PYTHON:
        if signal.getsignal(number) is not signal.SIG_IGN:
            continue
        if number in {signal.SIGCHLD, signal.SIGTERM, *_STOPPING}:
            signal.signal(number, signal.SIG_DFL)
        elif number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)
        else:
            signal.signal(number, _ignore)  # a handler, unlike SIG_IGN, ends at exec


def _ignore(_number: int, _frame: object) -> None:
    """Do nothing."""


class _Forgiving(io.FileIO):
    """A descriptor to write to. What cannot be written is lost, and `failed` is told why."""

    def __init__(self, number: int, failed: Callable[[OSError], None]) -> None:
        super().__init__(number, "wb", closefd=False)
        self._failed = failed

    def write(self, content: object, /) -> int:
        """Write some of it, or lose all of it."""
        size_bytes = memoryview(content).nbytes  # type: ignore[arg-type]
        try:
            written = super().write(content)  # type: ignore[arg-type]
        except OSError as error:
            self._failed(error)
            return size_bytes
        return size_bytes if written is None else written  # None: it would block


def _forgiving(number: int, stream: TextIO | None, failed: Callable[[OSError], None]) -> TextIO:
    """A text stream of this descriptor in the place of the one that is there, unless that is another's, as in a test.

    What its encoding does not have is written as an escape.
    """
    if stream is not None and _number_of(stream) != number:
        return stream
    raw = io.BufferedWriter(_Forgiving(number, failed))
    encoding = stream.encoding if stream is not None else "utf-8"
    return io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", line_buffering=True)


def _number_of(stream: TextIO) -> int:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return -1
