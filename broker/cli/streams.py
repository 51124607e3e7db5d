"""The standard streams of a command: they never cause a traceback.

`titan job list mail | head -1` is not an error: when the reader of stdout is gone, the command ends quietly, with exit
code 141 as after SIGPIPE. A full disk at stdout is one line on stderr. Errors of stderr are ignored.
"""

import asyncio
import codecs
import errno
import io
import os
import select
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TextIO

from broker.cli.process_setup import open_descriptors

READER_GONE = 141
"""128 + SIGPIPE."""
UNWRITABLE = 1

_GONE = frozenset({errno.EPIPE, errno.ECONNRESET})


@contextmanager
def safe_streams() -> Iterator[None]:
    """Inside the block, errors of stdout and stderr cause no traceback. The old streams are restored at the end.

    Output to a stream that was closed at the start is dropped. A stream that a test installed is not replaced.
    """
    before = sys.stdout, sys.stderr
    open_descriptors()
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 -- it stays open
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _text(_StandardOutput(1, "wb", closefd=False), sys.__stdout__, "surrogateescape")
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _text(_StandardError(2, "wb", closefd=False), sys.__stderr__, "backslashreplace")
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = before


@asynccontextmanager
async def end_with_reader() -> AsyncIterator[None]:
    """Inside the block, end the command as soon as the reader of stdout is gone. Raises SystemExit.

    A command that prints nothing for a long time needs this. It works for pipes only.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    number = _pipe()
    gone = False

    def end() -> None:
        nonlocal gone
        gone = True
        loop.remove_reader(number)
        if task is not None:
            task.cancel()

    if number < 0:
        yield
        return
    loop.add_reader(number, end)  # nothing can be read there, so `end` is called only when the other end closes
    try:
        yield
    except asyncio.CancelledError:
        if gone:
            raise SystemExit(READER_GONE) from None
        raise
    finally:
        loop.remove_reader(number)


class _StandardOutput(io.FileIO):
    """stdout. Its first error ends the process; later output is dropped."""

    _is_lost = False

    def write(self, content: Any, /) -> int:
        """Write a part of the content. Waits if another process made the shared pipe non-blocking."""
        if self._is_lost:
            return memoryview(content).nbytes
        try:
            while (size_bytes := super().write(content)) is None:
                select.select([], [self], [])
        except OSError as error:
            self._is_lost = True
            if error.errno in _GONE:
                raise SystemExit(READER_GONE) from None
            print(f"Error: The output cannot be written: {error.strerror}.", file=sys.stderr)
            raise SystemExit(UNWRITABLE) from None
        return size_bytes


class _StandardError(io.FileIO):
    """stderr. Output that cannot be written is dropped."""

    def write(self, content: Any, /) -> int:
        """Write a part of the content, or drop it after an error."""
        size_bytes = memoryview(content).nbytes
        try:
            return super().write(content) or size_bytes
        except OSError:
            return size_bytes


def _text(raw: io.FileIO, like: TextIO | None, errors: str) -> TextIO:
    """A text stream over `raw` with the encoding of `like`."""
    encoding = like.encoding if like else "utf-8"
    if like and like.errors and like.errors != "strict":
        errors = like.errors
    elif codecs.lookup(encoding).name != "utf-8":  # it lacks some characters, which are then escaped
        errors = "backslashreplace"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=True)


def _pipe() -> int:
    """The descriptor of stdout if it is a pipe, otherwise -1."""
    try:
        number = sys.stdout.fileno()
        return number if stat.S_ISFIFO(os.fstat(number).st_mode) else -1
    except (OSError, ValueError):
        return -1
