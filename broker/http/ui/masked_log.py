"""A log that is masked while it is followed."""

from collections.abc import AsyncIterator

from broker.http.ui.masking import LogMask, Masking
from broker.logs.follower import Following


class MaskedFollowing:
    """A follower whose pieces are masked. Its position is that of what it gave, without what it still holds back.

    `start`: the first byte that is shown. The follower begins before it, to know what that line is about.
    """

    def __init__(self, following: Following, masking: Masking, start: int) -> None:
        self._following = following
        self._mask = LogMask(masking)
        self._start = start
        self._read = following.at

    @property
    def at(self) -> int:
        """The position after the last piece, in bytes."""
        return max(0, self._following.at - len(self._mask.held))

    @property
    def is_over(self) -> bool:
        """Whether the log is complete."""
        return self._following.is_over

    async def pieces(self, group: str, job_id: str) -> AsyncIterator[bytes]:
        """The pieces of the log; b"" for a check without new bytes. Raises what the follower raises."""
        async for piece in self._following.pieces(group, job_id):
            yield self._shown(self._mask.feed(piece))
        yield self._shown(self._mask.rest())

    def _shown(self, masked: bytes) -> bytes:
        """What of this, which ends at our position, is not before `start`."""
        if self._following.at < self._read:
            self._start = 0  # another delivery writes the log from its beginning
        self._read = self._following.at
        return masked[max(0, self._start - (self.at - len(masked))) :] if self._start else masked
