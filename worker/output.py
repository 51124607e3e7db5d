"""What a job printed: its head and its tail are kept, in memory while short and in files without a name above that."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import cached_property

_IN_MEMORY_BYTES = 64 * 1024
_PIECE_BYTES = 256 * 1024


class Output:
    """The first and the last half of `keep_bytes` of a job's output; a line between them says how much is missing."""

    def __init__(self, keep_bytes: int) -> None:
        self._keep_bytes = keep_bytes
        self.size_bytes = 0
        """How much the job printed."""

    @property
    def is_empty(self) -> bool:
        """Whether the job printed nothing."""
        return not self.size_bytes

    @property
    def beginning_bytes(self) -> int:
        """How much `beginning` has: it only grows, and what is in it never changes."""
        return self._head.kept_bytes

    @property
    def cut_bytes(self) -> int:
        """How much of it is missing."""
        return self._tail.cut_bytes

    def write(self, piece: bytes) -> None:
        """Take the next piece. A full disk ends what is kept and nothing else."""
        self.size_bytes += len(piece)
        rest = self._head.write(piece)
        if rest:
            self._tail.write(rest)

    async def beginning(self, size_bytes: int) -> AsyncIterator[bytes]:
        """The first bytes of the head, in pieces."""
        for piece in self._head.pieces(size_bytes):
            yield piece

    async def pieces(self) -> AsyncIterator[bytes]:
        """What is kept, from the beginning each time, and the line on what is missing."""
        for piece in self._head.pieces(self._head.kept_bytes):
            yield piece
        if self.cut_bytes:
            yield f"\n[titan: {self.cut_bytes} bytes of output were cut here]\n".encode()
        for piece in self._tail.pieces():
            yield piece

    def close(self) -> None:
        """Let go of the files."""
        if not self.is_empty:
            self._head.close()
            self._tail.close()

    @cached_property
    def _head(self) -> "_Part":
        return _Part(self._keep_bytes - self._keep_bytes // 2)

    @cached_property
    def _tail(self) -> "_Ring":
        return _Ring(self._keep_bytes // 2)


class _File:
    """A file without a name, which is made when something is written: most jobs print nothing."""

    def __init__(self) -> None:
        self._file: tempfile.SpooledTemporaryFile[bytes] | None = None

    def write(self, at: int, piece: bytes) -> None:
        """Write at a place. Raises OSError when the disk is full."""
        if self._file is None:
            self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 -- close() closes it
        self._file.seek(at)
        self._file.write(piece)

    def pieces(self, begin: int, end: int) -> Iterator[bytes]:
        """What stands between two places."""
        while self._file is not None and begin < end:
            self._file.seek(begin)
            piece = self._file.read(min(end - begin, _PIECE_BYTES))
            if not piece:
                return
            begin += len(piece)
            yield piece

    def close(self) -> None:
        """Let go of it."""
        if self._file is not None:
            self._file.close()


class _Part:
    """The first bytes of what is written."""

    def __init__(self, most_bytes: int) -> None:
        self._file = _File()
        self._most_bytes = most_bytes
        self.kept_bytes = 0

    def write(self, piece: bytes) -> bytes:
        """Keep what there is room for; the rest."""
        kept = piece[: self._most_bytes - self.kept_bytes]
        if kept:
            try:
                self._file.write(self.kept_bytes, kept)
            except OSError:  # the disk is full
                self._most_bytes, kept = self.kept_bytes, b""
        self.kept_bytes += len(kept)
        return piece[len(kept) :]

    def pieces(self, size_bytes: int) -> Iterator[bytes]:
        """The first bytes of what is kept."""
        return self._file.pieces(0, size_bytes)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class _Ring:
    """The last bytes of what is written, in a file that is written round and round."""

    def __init__(self, most_bytes: int) -> None:
        self._file = _File()
        self._most_bytes = most_bytes
        self._at = 0
        self._kept_bytes = 0
        self.seen_bytes = 0

    @property
    def cut_bytes(self) -> int:
        """How much was written and is not kept."""
        return self.seen_bytes - self._kept_bytes

    def write(self, piece: bytes) -> None:
        """Keep the piece in the place of the oldest bytes."""
        self.seen_bytes += len(piece)
        kept = piece[-self._most_bytes :] if self._most_bytes else b""
        try:
            while kept:
                part = kept[: self._most_bytes - self._at]
                self._file.write(self._at, part)
                self._at = (self._at + len(part)) % self._most_bytes
                self._kept_bytes = min(self._most_bytes, self._kept_bytes + len(part))
                kept = kept[len(part) :]
        except OSError:  # the disk is full: from here on nothing is kept
            self._most_bytes = self._at = self._kept_bytes = 0

    def pieces(self) -> Iterator[bytes]:
        """What is kept, oldest first."""
        if self._kept_bytes == self._most_bytes:
            yield from self._file.pieces(self._at, self._most_bytes)
        yield from self._file.pieces(0, self._at)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
