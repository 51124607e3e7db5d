"""Follows a log: sends the stored part, then further parts, until the job is finished and all of its log is sent.

A worker uploads the log of a running job repeatedly, longer each time, and at the end the whole. A follower checks
once a second, at any broker, whether the log is longer than what it has sent.
"""

import asyncio
import codecs
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

import msgspec

from broker.core.errors import LimitReached, NotFound, StoreUnavailable
from broker.core.words import counted

if TYPE_CHECKING:
    from broker.logs.storage import Logs
    from broker.store.format.replies import Followed
    from broker.store.job_store import JobStore

LOOK_S = 1.0
LAST_LOG_MS = 5000
"""How long a follower waits for the last upload after the end of a job, ms."""
_TRIES = 30
_PING_S = 15.0
_STARTED_OVER = b"\n[titan: the job was delivered again, and its log starts over]\n"

_encode = msgspec.json.Encoder().encode


class Followers:
    """All followers at this broker, `most` at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._stopped = asyncio.Event()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one follower inside the block. Raises LimitReached."""
        if self._count >= self._most:
            raise LimitReached(f"This broker has {counted(self._most, 'follower')} of logs already.")
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    def stop(self) -> None:
        """End every follower at its next check."""
        self._stopped.set()

    async def wait(self) -> bool:
        """Wait until the next check; False when the broker stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._stopped.wait()
        return not self._stopped.is_set()


class Following:
    """One follower of one log; `at` is its position in bytes."""

    def __init__(self, followers: Followers, store: "JobStore", logs: "Logs", at: int) -> None:
        self.at = at
        self.is_over = False
        self._followers = followers
        self._store = store
        self._logs = logs
        self._delivery: int | None = None

    async def pieces(self, group: str, job_id: str) -> AsyncIterator[bytes]:
        """The stored part and later parts; b"" for a check without new bytes. Ends with the log, the job or the broker.

        Raises NotFound for an unknown job, StoreUnavailable after half a minute without an answer.
        """
        seen = await self._store.jobs.follow(group, job_id)
        faults = 0
        while True:
            try:
                async for piece in self._new(seen, job_id):
                    yield piece
                faults = 0
                if seen.is_over(LAST_LOG_MS):
                    self.is_over = True
                    return
                yield b""
                if not await self._followers.wait():
                    return
                seen = await self._store.jobs.follow(group, job_id)
            except NotFound:
                return  # the job and its log are deleted
            except StoreUnavailable:  # the log may have been replaced during the read
                faults += 1
                if faults == _TRIES or not await self._followers.wait():
                    raise

    async def _new(self, seen: "Followed", job_id: str) -> AsyncIterator[bytes]:
        if seen.log_bytes == 0:
            return
        if seen.is_growing or seen.completed_at is not None:
            if self._delivery not in (None, seen.delivery) and self.at:
                self.at = 0
                yield _STARTED_OVER
            self._delivery = seen.delivery
        if seen.log_bytes <= self.at:
            return
        with suppress(NotFound):  # noted, but not stored yet
            _, pieces = await self._logs.read(job_id, self.at)
            async for piece in pieces:
                self.at += len(piece)
                yield piece


class LogPosition(Protocol):
    """How far a follower has come: the position after the last piece, in bytes, and whether the log is complete."""

    @property
    def at(self) -> int:
        """The position."""

    @property
    def is_over(self) -> bool:
        """Whether nothing follows."""


async def events(following: LogPosition, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces as server-sent events. The data is the text as a JSON string, the id the position after it.

    Invalid UTF-8 becomes U+FFFD. The last event is `end`; a comment is sent while nothing else is.
    """
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    silent_s = 0.0
    async for piece in pieces:
        text = decode(piece)
        silent_s = 0.0 if text else silent_s + LOOK_S
        if text:
            yield b"id: %d\ndata: %b\n\n" % (following.at, _encode(text))
        elif silent_s >= _PING_S:
            silent_s = 0.0
            yield b": still there\n\n"
        else:
            yield b""
    if rest := decode(b"", final=True):
        yield b"id: %d\ndata: %b\n\n" % (following.at, _encode(rest))
    if following.is_over:
        yield b"event: end\ndata: {}\n\n"
