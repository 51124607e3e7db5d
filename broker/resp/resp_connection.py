"""One connection to a server: sends commands, one write an iteration of the event loop, and matches replies in order.

A connection object is used once. Calls in flight when the connection is lost fail and are never sent again. Each
connection has its own queue, so a late reply cannot reach a wrong call.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import hiredis
from redis import exceptions

from broker.metrics.exposition import Histogram
from broker.resp.redis_private import parse_error

Word = bytes | str | int
Awaited = tuple[asyncio.Future[Any], bytes, float]
"""A call in flight: its reply, its command, and its deadline by the monotonic clock, in s."""
OnError = Callable[[Exception, bytes, asyncio.Future[Any], float], bool]
"""Gets an error reply, the command, the reply and its deadline. True: it has set the reply, or will."""
_ROLE = ("ROLE",)
_WRONG_SERVER = ("READONLY", "LOADING", "MASTERDOWN")
_WRONG_SERVER_TYPES = (
    *(exceptions.ReadOnlyError, exceptions.BusyLoadingError, exceptions.MasterDownError),
    *(exceptions.MovedError, exceptions.ClusterDownError),
)
_LATE_S = 0.05
_SECOND_CHECK_S = 0.01


class ConnectionLimits(NamedTuple):
    """The longest wait for a reply, in s; the most calls, and bytes of commands, in flight."""

    timeout_s: float
    calls: int
    size_bytes: int


class RespConnection(asyncio.Protocol):
    """Calls made before it is open are sent once it is. It calls `on_lost` once, with the reason, when it ends.

    `is_silent`: it was lost because a reply was late. `times` gets the time of each call from `call` to its reply. A
    cancelled call that was sent stays in the queue until its reply arrives, which is dropped. `server` is the address
    that it connects to, once that is known; `on_error` gets each error reply first.
    """

    def __init__(
        self, limits: ConnectionLimits, on_lost: Callable[["RespConnection", str], None], times: Histogram
    ) -> None:
        self.gone = asyncio.Event()
        self.opened_at: float | None = None
        self.is_silent = False
        self.server: tuple[str, int] | str | None = None
        self.on_error: OnError | None = None
        self._limits = limits
        self._on_lost = on_lost
        self._times = times
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=parse_error)
        self._transport: asyncio.Transport | None = None
        self._awaited: deque[Awaited] = deque()
        self._out: list[bytes] = []
        self._bytes = 0
        self._is_paused = False
        self._is_lost = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0

    def call(self, words: Sequence[Word]) -> asyncio.Future[Any]:
        """Send a command; a future of its reply. Over the limits it fails with ConnectionError at once."""
        reply = self._loop.create_future()
        command = hiredis.pack_command(cast("Any", words))
        size = self._bytes + len(command)
        if len(self._awaited) >= self._limits.calls or size > self._limits.size_bytes:
            reply.set_exception(exceptions.ConnectionError("too much in flight"))
            return reply
        self._bytes = size
        self._awaited.append((reply, command, time.monotonic() + self._limits.timeout_s))
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(command)
        return reply

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended."""
        return self._is_lost

    @property
    def in_flight(self) -> int:
        """Calls without a reply yet."""
        return len(self._awaited)

    async def open(self, greeting: Sequence[Sequence[Word]]) -> None:
        """Send the greeting (login, database, name, ROLE, and PING as the last) before all calls, then the calls.

        Raises the server's error reply, except when this user has no permission for ROLE or PING; and ConnectionError
        when ROLE shows that the server is not a primary.
        """
        if self._is_lost:
            raise exceptions.ConnectionError("the server closed the connection at once")
        replies = [self._loop.create_future() for _ in greeting]
        self._awaited.extendleft((reply, b"", 0.0) for reply in reversed(replies))
        self._write([hiredis.pack_command(cast("Any", tuple(words))) for words in greeting])
        for words, answer in zip(greeting, await asyncio.gather(*replies, return_exceptions=True), strict=True):
            if isinstance(answer, exceptions.NoPermissionError) and words in {_ROLE, ("PING",)}:
                continue
            if isinstance(answer, BaseException):
                raise answer
            if words == _ROLE and answer[0] != b"master":
                raise exceptions.ConnectionError(f"the server has the role {answer[0].decode()}, and is no primary")
        self._forget_cancelled()
        self.opened_at = time.monotonic()
        self._flush()

    def lose(self, kind: type[exceptions.RedisError], reason: str) -> None:
        """Close the connection. Each call in flight fails with an error of this kind."""
        if self._is_lost:
            return
        self._is_lost = True
        self.is_silent = kind is exceptions.TimeoutError
        self._on_lost(self, reason)
        if self._timer is not None:
            self._timer.cancel()
        awaited, self._awaited, self._out, self._bytes = self._awaited, deque(), [], 0
        for reply, _, _ in awaited:
            if not reply.done():
                reply.set_exception(kind(reason))
        if self._transport is None:
            self.gone.set()
        else:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Use the open socket."""
        self._transport = cast("asyncio.Transport", transport)
        if self._is_lost:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Set each reply on the oldest call: the server replies in order."""
        if self._is_lost:
            return
        self._reader.feed(data)
        fault: Exception | None = None
        gets, awaited, observe = self._reader.gets, self._awaited, self._times.observe
        sent_before = time.monotonic() + self._limits.timeout_s
        try:
            while (answer := gets()) is not False:
                reply, command, due = awaited.popleft()
                if due:
                    observe(sent_before - due)
                self._bytes -= len(command)
                if isinstance(answer, Exception):
                    if self.on_error is not None and due and self.on_error(answer, command, reply, due):
                        continue
                    fault = answer if _is_wrong_server(answer) else fault
                    if not reply.done():
                        reply.set_exception(answer)
                elif not reply.done():
                    reply.set_result(answer)
        except (hiredis.HiredisError, ValueError, IndexError) as error:
            self.lose(exceptions.ConnectionError, f"the store sent data that is not a reply to a call: {error}")
        if fault is not None:
            self.lose(exceptions.ConnectionError, f"this is not the right server any more: {fault}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the calls in flight."""
        self.lose(exceptions.ConnectionError, f"the store closed the connection{f': {exc}' if exc else ''}")
        self.gone.set()

    def pause_writing(self) -> None:
        """Keep commands here while the server does not read."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Send them."""
        self._is_paused = False
        self._flush()

    def _flush(self) -> None:
        if self._out and self.opened_at is not None and not self._is_paused and not self._is_lost:
            out, self._out = self._out, []
            self._write(out)
            if self._timer is None:
                self._check_at(self._awaited[0][2])

    def _write(self, commands: list[bytes]) -> None:
        if self._transport is not None:  # without a transport it is lost
            self._transport.write(commands[0] if len(commands) == 1 else b"".join(commands))

    def _forget_cancelled(self) -> None:
        kept = [(call, command) for call, command in zip(self._awaited, self._out, strict=True) if not call[0].done()]
        self._awaited = deque(call for call, _ in kept)
        self._out = [command for _, command in kept]
        self._bytes = sum(map(len, self._out))

    def _check_at(self, at: float) -> None:
        self._timer_due = at
        self._timer = self._loop.call_later(max(0, at - time.monotonic()), self._check)

    def _check(self) -> None:
        """Close the connection if the oldest call is overdue. One timer serves all calls."""
        self._timer = None
        if not self._awaited:
            return
        now, due = time.monotonic(), self._awaited[0][2]
        if due > now:
            self._check_at(due)
        elif now - self._timer_due > _LATE_S:  # the event loop was late: the reply may have arrived, unread
            self._check_at(now + _SECOND_CHECK_S)
        else:
            self.lose(exceptions.TimeoutError, f"the store did not answer within {self._limits.timeout_s:g} s")


def _is_wrong_server(answer: Exception) -> bool:
    """Whether the reply means that another server must be called, or this one later. Some proxies put ERR before it."""
    if isinstance(answer, _WRONG_SERVER_TYPES):
        return True
    return type(answer) is exceptions.ResponseError and str(answer).removeprefix("ERR ").startswith(_WRONG_SERVER)
