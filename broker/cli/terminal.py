"""The terminal that a program was started at: whether it is closed, which is the other meaning of SIGHUP.

A terminal that closes sends SIGHUP to those in its foreground: they stop, as at Ctrl-C. SIGHUP of anybody else asks a
broker or worker to read its files again.
"""

import asyncio
import errno
import os
import termios
import time
from collections.abc import Callable

_TERMINAL = "/dev/tty"
_LOOK_S = 5.0
"""How often a look is taken, in s: one that was seen closed before the signal came did not cause it."""


class Terminal:
    """The controlling terminal, where there is one."""

    def __init__(self, *, is_ignored: bool = False) -> None:
        """`is_ignored`: the parent wants this program to outlive its terminal, as nohup does."""
        self.is_ignored = is_ignored
        self.on_failure: Callable[[], None] | None = None
        """Called when a line could not be written because the terminal is closed, or nobody reads stdout any more."""
        self.is_unread = False
        """Whether the reader of stdout has left."""
        self._number = -1 if is_ignored else _open()
        self._seen_at = time.monotonic()

    def follow(self) -> None:
        """Look at it now and then, from the running loop."""
        if self._number >= 0 and self._is_there():
            self._seen_at = time.monotonic()
            asyncio.get_running_loop().call_later(_LOOK_S, self.follow)

    def is_closed(self) -> bool:
        """Whether it has closed just now; False without a terminal, and below nohup."""
        return self._number >= 0 and not self._is_there() and time.monotonic() < self._seen_at + 2 * _LOOK_S

    def failed(self, error: OSError) -> None:
        """Note that a line could not be written."""
        if error.errno == errno.EIO and not self.is_ignored:
            self._stop()

    def output_failed(self, error: OSError) -> None:
        """Note that a line could not be written to stdout, whose reader may have left, as `head` does."""
        if error.errno == errno.EPIPE:
            self.is_unread = True
            self._stop()
        else:
            self.failed(error)

    def _stop(self) -> None:
        if self.on_failure is not None:
            self.on_failure()

    def _is_there(self) -> bool:
        try:
            termios.tcgetattr(self._number)
        except termios.error:
            return False
        return True


def _open() -> int:
    try:
        return os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return -1
