"""Keeps the output of a job: its head and its tail, in memory while they are short, else in files without a name.

If the disk is full or gone, later output that does not fit into memory is lost. Earlier output stays, and the log says
why the rest is missing.
"""

import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import cached_property

from worker.jobs.progress import JobProgress

_IN_MEMORY_BYTES = 64 * 1024
_PIECE_BYTES = 256 * 1024
_LAST_BYTES = 1024
_UNPRINTABLE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0e-\x1f\x7f]")
"""What a terminal would not show: colours, and other control characters but those that end a line or are a space."""


class Output:
    """The first and last bytes of a job's output, half of `keep_bytes` each, with a line about the missing ones."""

    def __init__(self, keep_bytes: int) -> None:
        self._keep_bytes = keep_bytes
        self.progress = JobProgress()
        self.inputs = b""
        """What the job gets from those that it waited for, a JSON list; b"" for a job that waited for none."""
        self.size_bytes = 0
        """How much the job printed."""
        self._last = b""

    @property
    def is_empty(self) -> bool:
        """Whether the job printed nothing."""
        return not self.size_bytes

    @property
    def last_line(self) -> str:
        """The last line that has a text, of which the last KiB is known; "" if there is none."""
        lines = _UNPRINTABLE.sub("", self._last.decode(errors="replace")).splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    @property
    def beginning_bytes(self) -> int:
        """The size of `beginning`: it only grows, and its bytes never change."""
        return self._head.kept_bytes

    @property
    def cut_bytes(self) -> int:
        """How many bytes are missing."""
        return self._tail.cut_bytes

    @property
    def write_error(self) -> str:
        """Why the rest is lost, in the words of the system: No space left on device; "" if nothing is."""
        return "" if self.is_empty else self._head.write_error or self._tail.write_error

    def write(self, piece: bytes) -> None:
        """Add the next piece. Never raises OSError."""
        self.size_bytes += len(piece)
        self._last = (piece if len(piece) >= _LAST_BYTES else self._last + piece)[-_LAST_BYTES:]
        rest = self._head.write(piece)
        if rest:
            self._tail.write(rest)

    async def beginning(self, size_bytes: int) -> AsyncIterator[bytes]:
        """The first bytes of the head, in pieces."""
        for piece in self._head.pieces(size_bytes):
            yield piece

    async def pieces(self) -> AsyncIterator[bytes]:
        """All kept output, from its start, with the line about the missing bytes. Never raises OSError."""
        for piece in self._head.pieces(self._head.kept_bytes):
            yield piece
        if self.cut_bytes:
            yield f"\n[titan: {self.cut_bytes} bytes of output were cut here]\n".encode()
            if self.write_error:
                yield f"[titan: the worker could not keep them: {self.write_error}]\n".encode()
        for piece in self._tail.pieces():
            yield piece

    def close(self) -> None:
        """Close the files."""
        if not self.is_empty:
            self._head.close()
            self._tail.close()

    @cached_property
    def _head(self) -> "_Head":
        return _Head(self._keep_bytes - self._keep_bytes // 2)

    @cached_property
    def _tail(self) -> "_Ring":
        return _Ring(self._keep_bytes // 2)


class _LogFile:
    """Bytes in memory while they are few, else in a file without a name, if the disk allows it."""

    def __init__(self) -> None:
        self._memory = bytearray()
        self._descriptor = -1
        self._is_closed = False
        self.write_error = ""
        """Why it stopped growing, in the words of the system."""

    def write(self, at: int, piece: bytes) -> int:
        """Write at a position up to the end; how much was written. If it is not all, see `trouble`."""
        if self._descriptor < 0 and at + len(piece) > _IN_MEMORY_BYTES and not self.write_error:
            self._move()
        if self._descriptor >= 0:
            return self._write_file(at, piece)
        kept = piece[: max(0, _IN_MEMORY_BYTES - at)]
        self._memory[at : at + len(kept)] = kept
        return len(kept)

    def pieces(self, begin: int, end: int) -> Iterator[bytes]:
        """The bytes between two positions; if they cannot be read, a line that says why."""
        while begin < end:
            if self._is_closed:
                raise ValueError("it is closed")
            try:
                piece = self._read(begin, min(end - begin, _PIECE_BYTES))
            except OSError as error:
                yield f"\n[titan: the output that was kept cannot be read: {error.strerror}]\n".encode()
                return
            if not piece:
                return
            begin += len(piece)
            yield piece

    def close(self) -> None:
        """Free the memory and the file."""
        self._is_closed = True
        self._memory.clear()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)

    def _move(self) -> None:
        """Move to a file, or stay in memory if none can be created."""
        try:
            with tempfile.TemporaryFile(buffering=0) as file:
                descriptor = os.dup(file.fileno())
        except OSError as error:
            self.write_error = _reason(error)
            return
        self._descriptor = descriptor
        if self._write_file(0, bytes(self._memory)) < len(self._memory):
            os.close(descriptor)
            self._descriptor = -1
        else:
            self._memory.clear()

    def _write_file(self, at: int, piece: bytes) -> int:
        done = 0
        try:
            while done < len(piece):  # a partial write means that the disk is full
                done += os.pwrite(self._descriptor, memoryview(piece)[done:], at + done)
        except OSError as error:
            self.write_error = _reason(error)
        return done

    def _read(self, at: int, size_bytes: int) -> bytes:
        if self._descriptor < 0:
            return bytes(self._memory[at : at + size_bytes])
        return os.pread(self._descriptor, size_bytes, at)


class _Head:
    """Keeps the first bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._file = _LogFile()
        self._max_bytes = max_bytes
        self.kept_bytes = 0

    @property
    def write_error(self) -> str:
        """Why it stopped before it was full."""
        return self._file.write_error

    def write(self, piece: bytes) -> bytes:
        """Keep as much as fits; the rest."""
        fitting = piece[: self._max_bytes - self.kept_bytes]
        if not fitting:
            return piece
        written = self._file.write(self.kept_bytes, fitting)
        self.kept_bytes += written
        if written < len(fitting):  # the disk is full
            self._max_bytes = self.kept_bytes
        return piece[written:]

    def pieces(self, size_bytes: int) -> Iterator[bytes]:
        """The first `size_bytes` of the kept bytes."""
        return self._file.pieces(0, size_bytes)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Ring:
    """Keeps the last bytes, in a file that is overwritten as a ring."""

    def __init__(self, max_bytes: int) -> None:
        self._file = _LogFile()
        self._max_bytes = max_bytes
        self._at = 0
        self._kept_bytes = 0
        self.printed_bytes = 0

    @property
    def write_error(self) -> str:
        """Why it is shorter than it should be."""
        return self._file.write_error

    @property
    def cut_bytes(self) -> int:
        """How many bytes were written and are not kept."""
        return self.printed_bytes - self._kept_bytes

    def write(self, piece: bytes) -> None:
        """Keep the piece instead of the oldest bytes. On a full disk the ring does not grow."""
        self.printed_bytes += len(piece)
        kept = piece[-self._max_bytes :] if self._max_bytes else b""
        while kept:
            part = kept[: self._max_bytes - self._at]
            written = self._file.write(self._at, part)
            self._at += written
            self._kept_bytes = max(self._kept_bytes, self._at)
            if written < len(part):
                self._shorten()
                kept = kept[written:][-self._max_bytes :] if self._max_bytes else b""
                continue
            self._at %= self._max_bytes
            kept = kept[written:]

    def pieces(self) -> Iterator[bytes]:
        """The kept bytes, oldest first."""
        if self._kept_bytes == self._max_bytes:
            yield from self._file.pieces(self._at, self._max_bytes)
        yield from self._file.pieces(0, self._at)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _shorten(self) -> None:
        """Continue with the present size; with none if not even that can be overwritten."""
        is_growing = self._at == self._kept_bytes
        self._max_bytes = self._kept_bytes = self._kept_bytes if is_growing else 0
        self._at = 0


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
