"""What a job printed: its beginning is kept, in memory while it is short and in a file without a name above that."""

import tempfile
from collections.abc import AsyncIterator

_IN_MEMORY_BYTES = 64 * 1024
_PIECE_BYTES = 256 * 1024


class Output:
    """The first `keep_bytes` of a job's output; the rest is counted, and a last line says how much is missing."""

    def __init__(self, keep_bytes: int) -> None:
        self._file: tempfile.SpooledTemporaryFile[bytes] | None = None
        self._keep_bytes = keep_bytes
        self._kept_bytes = 0
        self.cut_bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether the job printed nothing."""
        return not self._kept_bytes and not self.cut_bytes

    def write(self, piece: bytes) -> None:
        """Take the next piece. A full disk ends what is kept and nothing else."""
        kept = piece[: self._keep_bytes - self._kept_bytes]
        if self._file is None:
            self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 -- close() closes it
        try:
            self._file.write(kept)
        except OSError:
            self._keep_bytes = self._kept_bytes
            kept = b""
        self._kept_bytes += len(kept)
        self.cut_bytes += len(piece) - len(kept)

    async def pieces(self) -> AsyncIterator[bytes]:
        """What is kept, from the beginning each time, and the line on what is missing."""
        left = self._kept_bytes
        if self._file is not None:
            self._file.seek(0)
        while left and self._file is not None and (piece := self._file.read(min(left, _PIECE_BYTES))):
            left -= len(piece)
            yield piece
        if self.cut_bytes:
            yield f"\n[titan: {self.cut_bytes} bytes of output were cut here]\n".encode()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
