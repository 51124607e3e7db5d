"""The standard streams of a command: a reader that leaves ends it quietly, a full disk with one line.

`titan job list mail | head -1` is no fault: when the reader of stdout is gone, the command ends with the code that a
shell shows of every program which such a pipe ended. stderr only has remarks: when nobody can read those, the command
goes on.
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

from broker.cli.starting import open_descriptors

READER_GONE = 141
"""128 + SIGPIPE."""
UNWRITABLE = 1

_GONE = frozenset({errno.EPIPE, errno.ECONNRESET})


@contextmanager
def own_streams() -> Iterator[None]:
    """Inside the block, what is written to stdout and stderr cannot end in a traceback; then both are as before.

    A stream that was closed at the start leads nowhere. One that a test put in the place of the process's own stays.
    """
    before = sys.stdout, sys.stderr
    open_descriptors()
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays open
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(1, "wb", closefd=False), sys.__stdout__, "surrogateescape")
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Remarks(2, "wb", closefd=False), sys.__stderr__, "backslashreplace")
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = before


@asynccontextmanager
async def while_read() -> AsyncIterator[None]:
    """End the command, inside the block, as soon as the reader of stdout is gone; for what may print nothing for long.

    Only a pipe tells that nobody reads it. SystemExit is raised out of the block.
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
    loop.add_reader(number, end)  # nothing can be read there: it is woken when the other end is closed
    try:
        yield
    except asyncio.CancelledError:
        if gone:
            raise SystemExit(READER_GONE) from None
        raise
    finally:
        loop.remove_reader(number)


class _Output(io.FileIO):
    """stdout: an error of it ends the process, once; what comes after that goes nowhere."""

    _is_lost = False

    def write(self, content: Any, /) -> int:
        """Write some of it, and wait where a shared pipe was made non-blocking by somebody else."""
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


class _Remarks(io.FileIO):
    """stderr: what cannot be written is lost."""

    def write(self, content: Any, /) -> int:
        """Write some of it, or nothing."""
        size_bytes = memoryview(content).nbytes
        try:
            return super().write(content) or size_bytes
        except OSError:
            return size_bytes


def _text(raw: io.FileIO, like: TextIO | None, errors: str) -> TextIO:
    """A text stream over it, as Python would have made it."""
    encoding = like.encoding if like else "utf-8"
    if like and like.errors and like.errors != "strict":
        errors = like.errors
    elif codecs.lookup(encoding).name != "utf-8":  # which lacks letters: they are written as escapes
        errors = "backslashreplace"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=True)


def _pipe() -> int:
    """The descriptor of stdout when it is a pipe; -1 when it is something else."""
    try:
        number = sys.stdout.fileno()
        return number if stat.S_ISFIFO(os.fstat(number).st_mode) else -1
    except (OSError, ValueError):
        return -1
