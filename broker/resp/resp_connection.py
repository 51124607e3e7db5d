"""One connection to the store, from its opening to its loss: commands out, one write a loop tick; replies in, in order.

A link is used once. What is in flight when it is lost fails and is never sent again, and since every link has its own
queue, a reply that comes late has nobody left to go to.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import hiredis
from redis import exceptions
from redis._parsers import BaseParser

from broker.metrics.exposition import Histogram

Word = bytes | str | int
Awaited = tuple[asyncio.Future[Any], int, float]
"""A call in flight: its reply, the bytes of its command, and when it is overdue by the monotonic clock, in s."""
_ELSEWHERE = ("READONLY", "LOADING", "MASTERDOWN")
_ELSEWHERE_TYPES = (
    *(exceptions.ReadOnlyError, exceptions.BusyLoadingError, exceptions.MasterDownError),
    *(exceptions.MovedError, exceptions.ClusterDownError),
)
_HELD_UP_S = 0.05
_SECOND_LOOK_S = 0.01


class ConnectionLimits(NamedTuple):
    """How long a reply may take, in s, and how many calls, and bytes of commands, may be in flight."""

    timeout_s: float
    calls: int
    size_bytes: int


class RespConnection(asyncio.Protocol):
    """Calls may be made before it is open: they leave once it is. `on_lost` is told of its end, once, with the reason.

    `times` gets how long each call waited for its reply, from `call` on.

    A cancelled call that has left keeps its place until its reply was read and dropped.
    """

    def __init__(
        self, limits: ConnectionLimits, on_lost: Callable[["RespConnection", str], None], times: Histogram
    ) -> None:
        self.gone = asyncio.Event()
        self.opened_at: float | None = None
        self._limits = limits
        self._on_lost = on_lost
        self._times = times
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=BaseParser.parse_error)
        self._transport: asyncio.Transport | None = None
        self._awaited: deque[Awaited] = deque()
        self._out: list[bytes] = []
        self._bytes = 0
        self._is_paused = False
        self._is_lost = False
        self._sweep: asyncio.TimerHandle | None = None
        self._sweep_at = 0.0

    def call(self, words: Sequence[Word]) -> asyncio.Future[Any]:
        """The reply to come; over the limits it is a ConnectionError at once."""
        reply = self._loop.create_future()
        command = hiredis.pack_command(cast("Any", words))
        size = self._bytes + len(command)
        if len(self._awaited) >= self._limits.calls or size > self._limits.size_bytes:
            reply.set_exception(exceptions.ConnectionError("too much in flight"))
            return reply
        self._bytes = size
        self._awaited.append((reply, len(command), time.monotonic() + self._limits.timeout_s))
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(command)
        return reply

    @property
    def in_flight(self) -> int:
        """Calls without a reply yet."""
        return len(self._awaited)

    async def open(self, greeting: Sequence[Sequence[Word]]) -> None:
        """Say who we are ahead of all calls, and let the calls out. The last word of a greeting is PING.

        Raises what the store answers to it, but for a PING that this user is not allowed.
        """
        if self._is_lost:
            raise exceptions.ConnectionError("it closed the connection at once")
        replies = [self._loop.create_future() for _ in greeting]
        self._awaited.extendleft((reply, 0, 0.0) for reply in reversed(replies))
        self._write([hiredis.pack_command(cast("Any", tuple(words))) for words in greeting])
        *firm, ping = await asyncio.gather(*replies, return_exceptions=True)
        for answer in [*firm, *([] if isinstance(ping, exceptions.NoPermissionError) else [ping])]:
            if isinstance(answer, BaseException):
                raise answer
        self._forget_cancelled()
        self.opened_at = time.monotonic()
        self._flush()

    def lose(self, kind: type[exceptions.RedisError], reason: str) -> None:
        """Drop the connection; each call in flight fails with an error of this kind."""
        if self._is_lost:
            return
        self._is_lost = True
        self._on_lost(self, reason)
        if self._sweep is not None:
            self._sweep.cancel()
        awaited, self._awaited, self._out, self._bytes = self._awaited, deque(), [], 0
        for reply, _, _ in awaited:
            if not reply.done():
                reply.set_exception(kind(reason))
        if self._transport is None:
            self.gone.set()
        else:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the open socket."""
        self._transport = cast("asyncio.Transport", transport)
        if self._is_lost:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Give each reply to the call that has waited longest."""
        if self._is_lost:
            return
        self._reader.feed(data)
        fault: Exception | None = None
        gets, awaited, observe = self._reader.gets, self._awaited, self._times.observe
        sent_before = time.monotonic() + self._limits.timeout_s
        try:
            while (answer := gets()) is not False:
                reply, size, due = awaited.popleft()
                if due:
                    observe(sent_before - due)
                self._bytes -= size
                if isinstance(answer, Exception):
                    fault = answer if _is_elsewhere(answer) else fault
                    if not reply.done():
                        reply.set_exception(answer)
                elif not reply.done():
                    reply.set_result(answer)
        except (hiredis.HiredisError, ValueError, IndexError) as nonsense:
            self.lose(exceptions.ConnectionError, f"the store sent what nobody asked for: {nonsense}")
        if fault is not None:
            self.lose(exceptions.ConnectionError, f"another server must be asked: {fault}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is in flight."""
        self.lose(exceptions.ConnectionError, f"the store closed the connection{f': {exc}' if exc else ''}")
        self.gone.set()

    def pause_writing(self) -> None:
        """Keep commands here while the store does not read."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Let them out."""
        self._is_paused = False
        self._flush()

    def _flush(self) -> None:
        if self._out and self.opened_at is not None and not self._is_paused and not self._is_lost:
            out, self._out = self._out, []
            self._write(out)
            if self._sweep is None:
                self._look_again(self._awaited[0][2])

    def _write(self, commands: list[bytes]) -> None:
        if self._transport is not None:  # it is lost otherwise
            self._transport.write(commands[0] if len(commands) == 1 else b"".join(commands))

    def _forget_cancelled(self) -> None:
        wanted = [(call, command) for call, command in zip(self._awaited, self._out, strict=True) if not call[0].done()]
        self._awaited = deque(call for call, _ in wanted)
        self._out = [command for _, command in wanted]
        self._bytes = sum(map(len, self._out))

    def _look_again(self, at: float) -> None:
        self._sweep_at = at
        self._sweep = self._loop.call_later(max(0, at - time.monotonic()), self._look)

    def _look(self) -> None:
        """The one timer: it stands at the time at which the oldest call is overdue."""
        self._sweep = None
        if not self._awaited:
            return
        now, due = time.monotonic(), self._awaited[0][2]
        if due > now:
            self._look_again(due)
        elif now - self._sweep_at > _HELD_UP_S:  # it was we who were held up: the reply may be there unread
            self._look_again(now + _SECOND_LOOK_S)
        else:
            self.lose(exceptions.TimeoutError, f"the store did not answer within {self._limits.timeout_s:g} s")


def _is_elsewhere(answer: Exception) -> bool:
    """Whether a server says that it is not, or not yet, the one to ask; some proxies put ERR before it."""
    if isinstance(answer, _ELSEWHERE_TYPES):
        return True
    return type(answer) is exceptions.ResponseError and str(answer).removeprefix("ERR ").startswith(_ELSEWHERE)
