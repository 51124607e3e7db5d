"""One connection of a client. Fast requests are answered here, all others by aiohttp, each in its turn.

A fast request (see fast_request) is parsed, handled and answered without the request, response and task of aiohttp,
which cost most of the time of a request. A client may pipeline: several fast requests are then in progress, and their
responses leave in order. Any other request is passed through to aiohttp, byte for byte, when all responses before it
have left; later requests wait until aiohttp has answered. When the end of such a request is in doubt, aiohttp gets the
rest of the connection.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.web_request import BaseRequest

from broker.core.errors import Invalid
from broker.http.responses import Response, encoded
from broker.http.server.aiohttp_private import Connection
from broker.http.server.fast_request import NotFast, read_fast_request, whole_length
from broker.http.server.other_protocols import no_request, other_protocol
from broker.http.server.pending_response import DispatchesRequests, PendingResponse
from broker.metrics.http_requests import GONE

MOST_UNDER_WAY = 256
"""Fast requests of one connection that may be in progress; at this number, reading pauses."""
_BUFFER_BYTES = 256 * 1024
"""Bytes that may wait behind a request of aiohttp; above this number, reading pauses."""
_LINE_ENDS = b"\r\n"
_LINGER_S = 1.0
"""How long input after something that is not HTTP is read and dropped."""
_JOINED_BYTES = 16 * 1024
"""Responses up to this size are joined into one write, because a system call costs more than to copy them."""


class HttpConnection(Connection):
    """The protocol of one connection."""

    __slots__ = (
        "_buffer",
        "_dispatcher",
        "_head_timer",
        "_is_advancing",
        "_is_passthrough",
        "_is_refused",
        "_is_write_scheduled",
        "_passthrough_bytes",
        "_pending",
        "_undo_written",
        "_waits_for_aiohttp",
    )

    def __init__(self, *arguments: Any, dispatcher: DispatchesRequests, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._dispatcher = dispatcher
        self._pending: deque[PendingResponse] = deque()
        self._undo_written: list[Callable[[], None]] = []
        self._head_timer: asyncio.TimerHandle | None = None
        self._buffer = b""
        self._passthrough_bytes = 0  # that the request of aiohttp still lacks
        self._waits_for_aiohttp = False
        self._is_passthrough = False  # from now on all is aiohttp's
        self._is_advancing = False
        self._is_write_scheduled = False
        self._is_refused = False

    def data_received(self, data: bytes) -> None:
        """Handle bytes that have arrived."""
        if self._is_refused:
            return
        if self._is_passthrough or not data:  # aiohttp calls this without data to continue its own reading
            super().data_received(data)
            return
        self._buffer = self._buffer + data if self._buffer else data
        self._advance()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Cancel the work for this client, and undo what it did not receive."""
        pending, self._pending, self._buffer = self._pending, deque(), b""
        super().connection_lost(exc)
        self._limit_head(is_awaited=False)
        for undo in self._undo_written:
            undo()
        for response in pending:
            self._dispatcher.ended(response, GONE)
            response.abandon()

    def pause_writing(self) -> None:
        """Read no more requests while the client does not read its responses."""
        super().pause_writing()
        self.pause_transport()

    def resume_writing(self) -> None:
        """Continue: the client has read its responses."""
        super().resume_writing()
        self._undo_written.clear()
        self.resume_transport()
        if not self._is_passthrough:
            self._advance()

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write a response of aiohttp. Then continue here, if aiohttp has received its whole request."""
        ending = await super().finish_response(request, resp, start_time)
        self._waits_for_aiohttp = False
        if not self._passthrough_bytes and not self._is_passthrough:
            self.loop.call_soon(self._advance)
        return ending

    @property
    def peer(self) -> str:
        """The address of the other end; '' when it is gone."""
        name = self.transport.get_extra_info("peername") if self.transport is not None else None
        return str(name[0]) if isinstance(name, tuple) else ""

    def has_pending_responses(self) -> bool:
        """Whether a fast request is in progress."""
        return bool(self._pending)

    def _advance(self) -> None:
        """Start every request of the buffer that can start now."""
        if self._is_advancing:
            return
        self._is_advancing = True
        data, at = self._buffer, 0
        try:
            while at < len(data) and self.transport is not None and not (self.is_closing or self.writing_paused):
                is_of_aiohttp = self._waits_for_aiohttp or self._passthrough_bytes
                end = self._pass_rest(data, at) if is_of_aiohttp else self._start(data, at)
                if end is None:
                    break
                at = end
        finally:
            self._buffer = data[at:] if not self._is_passthrough else b""
            self._is_advancing = False
        is_idle = not (self._waits_for_aiohttp or self._passthrough_bytes or self._pending)
        self._limit_head(is_awaited=bool(self._buffer) and is_idle)
        if len(self._buffer) > _BUFFER_BYTES or len(self._pending) >= MOST_UNDER_WAY:
            self.pause_transport()

    def _start(self, data: bytes, at: int) -> int | None:
        """Start the request at this position. Returns the position of its end, or None if it must wait."""
        if len(self._pending) >= MOST_UNDER_WAY:
            return None
        if data[at] in _LINE_ENDS:  # empty lines before a request are ignored
            return at + 1
        found = read_fast_request(data, at, self._dispatcher.most_body_bytes)
        if isinstance(found, NotFast):
            fault = (other_protocol if found is NotFast.UNUSUAL else no_request)(data, at)
            if fault is not None:
                return self._refuse(fault, data)
            return self._pass_through(data, at) if found is NotFast.UNUSUAL else None
        request, end = found
        pending = PendingResponse(self)
        self._pending.append(pending)
        if not self._dispatcher.start(request, pending):
            self._pending.remove(pending)
            return self._pass_through(data, at)
        return end

    def _refuse(self, fault: Invalid, data: bytes) -> int | None:
        """Answer input that is not HTTP once all responses before it have left, and close.

        Later input is read and dropped for a moment: to close a socket with unread input resets it, and the client
        loses the response.
        """
        transport = self.transport
        if self._pending or transport is None:
            return None
        self._is_refused = True
        transport.write(encoded(self._dispatcher.refusal(fault), is_last=True))
        if transport.can_write_eof():
            transport.write_eof()
            self.loop.call_later(_LINGER_S, transport.close)
        else:
            transport.close()
        return len(data)

    def _pass_through(self, data: bytes, at: int) -> int | None:
        """Pass a request to aiohttp once all responses before it have left."""
        if self._pending:
            return None
        length = whole_length(data, at)
        if length is None:
            self._is_passthrough = True
            super().data_received(data[at:])
            return len(data)
        self._passthrough_bytes, self._waits_for_aiohttp = length, True
        return self._pass_rest(data, at)

    def _pass_rest(self, data: bytes, at: int) -> int | None:
        """Pass more of its request to aiohttp. None if aiohttp has all of it and has not answered yet."""
        if not self._passthrough_bytes:
            return None
        piece = data[at : at + self._passthrough_bytes]
        self._passthrough_bytes -= len(piece)
        super().data_received(piece)
        return at + len(piece)

    def _limit_head(self, *, is_awaited: bool) -> None:
        """Start or stop the timer for the rest of a request that has not arrived whole."""
        if not is_awaited and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        elif is_awaited and self._head_timer is None:
            self._head_timer = self.loop.call_later(self._dispatcher.head_s, self._head_timed_out)

    def _head_timed_out(self) -> None:
        """Close a connection on which a request began and did not continue."""
        self._head_timer = None
        self.force_close()

    def schedule_write(self) -> None:
        """Write the ready responses: at once, or together at the end of this loop iteration if several are pending."""
        if len(self._pending) == 1:
            self._write_ready()
        elif not self._is_write_scheduled:
            self._is_write_scheduled = True
            self.loop.call_soon(self._write_ready)

    def _write_ready(self) -> None:
        """Write the responses that are ready, up to the first one that is not."""
        self._is_write_scheduled = False
        pending, transport = self._pending, self.transport
        pieces: list[bytes] = []
        while pending and (response := pending[0].response) is not None and transport is not None:
            written = pending.popleft()
            if transport.is_closing():
                if response.unsent is not None:
                    response.unsent()
                self._dispatcher.ended(written, GONE)
                continue
            is_last = self._dispatcher.is_stopping or response.status == 408
            pieces.append(encoded(response, is_last=is_last, request=written.request))
            if not pending or response.unsent is not None or len(response.body) > _JOINED_BYTES:
                transport.write(b"".join(pieces))
                pieces.clear()
            self._keep_undo(response)
            self._dispatcher.ended(written, response.status)
            if is_last and not pending:
                transport.close()
        if pieces and transport is not None:
            transport.write(b"".join(pieces))
        self.restart_keepalive()
        if self._buffer and not self._is_advancing:
            if len(pending) < MOST_UNDER_WAY // 2 and not self.writing_paused:
                self.resume_transport()
            self._advance()

    def _keep_undo(self, response: Response) -> None:
        """Remember how to undo a large response while the socket has not sent all of it."""
        if response.unsent is not None and self.writing_paused:
            self._undo_written.append(response.unsent)
