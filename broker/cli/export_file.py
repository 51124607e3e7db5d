"""The file of an export: written piece by piece under another name until it is whole; continued when it was cut off.

The last whole line says where to continue, so that nothing else has to be kept.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from broker.core.errors import Invalid
from broker.resp import keys
from broker.store.format.exported import Begin, Digest, Line, encoded, read_line
from broker.store.transfer import Position

LINE_BYTES = 32 * 1024 * 1024
"""A line that is longer is none: a payload has 1 MiB unless a broker is set otherwise."""


class Read(NamedTuple):
    """One line of a file: its number from 1, its text without the end, and what it says."""

    number: int
    text: bytes
    line: Line


class Unfinished(NamedTuple):
    """What a file that was cut off has: the digest of its lines, and where to continue."""

    begin: Begin
    digest: Digest
    position: Position


def read_lines(file: BinaryIO) -> Iterator[Read]:
    """The lines of a file. Raises Invalid, with the line in its fields; a last line without an end is cut off."""
    number = 0
    while text := file.readline(LINE_BYTES + 1):
        number += 1
        if not text.endswith(b"\n"):
            raise Invalid("The line is cut off, or too long.", fields=f"line {number}")
        try:
            yield Read(number, text[:-1], read_line(text[:-1]))
        except Invalid as error:
            raise Invalid(error.message, fields=f"line {number}") from None


def unfinished(path: Path) -> Unfinished | None:
    """What a file that was cut off has; None where nothing can be continued. A line that is cut off is taken off."""
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return None
    begin, position, digest, groups, size = None, Position(), Digest(), ("", ""), 0
    with file:
        try:
            for read in read_lines(file):
                line = read.line
                if line.export is not None:
                    begin = line.export
                elif line.group is not None and begin is not None:
                    groups = (str(line.group.created_at), line.group.name)
                    number = keys.partition_of(line.group.name, begin.partitions)
                    position = Position(number, groups, ("", ""), ("", ""))
                    digest.add(read.text, is_group=True)
                elif line.batch is not None:
                    position = position._replace(batch=(str(line.batch.created_at), line.batch.id))
                    digest.add(read.text, is_batch=True)
                elif line.job is not None:
                    position = position._replace(job=(str(line.job.created_at), line.job.id), batch=None)
                    digest.add(read.text)
                size += len(read.text) + 1
        except Invalid:
            file.truncate(size)
    return None if begin is None else Unfinished(begin, digest, position)


class ExportFile:
    """Where an export goes: stdout, or a file that has its name once it is whole."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.part = path.with_name(f"{path.name}.part") if path else None
        self._file: BinaryIO | None = None

    def open(self, *, is_new: bool) -> None:
        """Begin to write; or to append. Raises OSError."""
        if self.part is not None:
            self._file = self.part.open("wb" if is_new else "ab")

    def write(self, lines: list[bytes]) -> None:
        """Write whole lines."""
        text = b"".join(line + b"\n" for line in lines)
        if self._file is not None:
            self._file.write(text)
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(text)
            sys.stdout.buffer.flush()

    def close(self) -> None:
        """Leave what is written; it can be continued."""
        if self._file is not None:
            self._file.close()

    def finish(self) -> None:
        """Have the file on the disk, under its own name."""
        if self._file is None or self.part is None or self._path is None:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self.part.rename(self._path)


def begin_line(begin: Begin) -> bytes:
    """The first line."""
    return encoded(export=begin)
