"""One connection of a client: plain requests are answered at once, all others by aiohttp, each in its turn.

A plain request (see fast_request) is read, handled and answered without aiohttp's request, response and task; that
is most of what an answer costs. Several may be under way at a time, as a client pipelines them; their answers leave in
order. What is not plain is passed on to aiohttp byte for byte when the answers before it have left, and what comes
behind it waits until that is answered. Where the end of such a request cannot be told, the rest of the connection is
aiohttp's.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.web_request import BaseRequest

from broker.core.errors import Invalid
from broker.http.error_responses import refusal
from broker.http.response_head import encoded
from broker.http.server.fast_request import NotFast, read_fast_request, whole_length
from broker.http.server.other_protocols import no_request, other_protocol
from broker.http.server.pending_response import DispatchesRequests, PendingResponse
from broker.metrics.http_requests import GONE

MOST_UNDER_WAY = 256
"""Plain requests of one connection that may be under way before no more of it is read."""
_HELD_BYTES = 256 * 1024
"""What may wait behind a request of aiohttp's before no more is read."""
_LINE_ENDS = b"\r\n"
_LINGER_S = 1.0
"""How long what comes behind something that is no HTTP is read and dropped."""
_JOINED_BYTES = 16 * 1024
"""Smaller answers leave together, in one call of the system; it costs more than to copy them."""


class HttpConnection(web.RequestHandler):
    """The protocol of one connection."""

    __slots__ = (
        "_desk",
        "_is_advancing",
        "_is_leaving",
        "_is_over",
        "_is_theirs",
        "_left",
        "_passed",
        "_pause",
        "_rest",
        "_slots",
        "_unsettled",
    )

    def __init__(self, *arguments: Any, desk: DispatchesRequests, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._desk = desk
        self._slots: deque[PendingResponse] = deque()
        self._unsettled: list[Callable[[], None]] = []
        self._pause: asyncio.TimerHandle | None = None
        self._rest = b""
        self._left = 0
        self._passed = 0
        self._is_theirs = False
        self._is_advancing = False
        self._is_leaving = False
        self._is_over = False

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        if self._is_over:
            return
        if self._is_theirs or not data:  # aiohttp calls itself with nothing to go on reading
            super().data_received(data)
            return
        self._rest = self._rest + data if self._rest else data
        self._advance()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let those who work for this client know, and undo what it will not see."""
        slots, self._slots, self._rest = self._slots, deque(), b""
        super().connection_lost(exc)
        self._wait_for_the_rest(is_awaited=False)
        for unsent in self._unsettled:
            unsent()
        for slot in slots:
            self._desk.ended(slot, GONE)
            slot.leave()

    def pause_writing(self) -> None:
        """Read no more requests while the client does not read its answers."""
        super().pause_writing()
        self._pause_transport_reading()

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._unsettled.clear()
        self._resume_transport_reading()
        if not self._is_theirs:
            self._advance()

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write aiohttp's answer; then it is our turn again, once the whole of its request was passed on."""
        ending = await super().finish_response(request, resp, start_time)
        self._passed = max(0, self._passed - 1)
        if not self._passed and not self._left and not self._is_theirs:
            self._loop.call_soon(self._advance)
        return ending

    def _process_keepalive(self) -> None:
        """Close a connection that is idle; one with an answer under way is not."""
        if self._slots and self.transport is not None:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def _advance(self) -> None:
        """Begin all that can begin of what has come."""
        if self._is_advancing:
            return
        self._is_advancing = True
        data, at = self._rest, 0
        try:
            while at < len(data) and self.transport is not None and not (self._close or self._paused):
                end = self._pass(data, at) if self._passed or self._left else self._begin(data, at)
                if end is None:
                    break
                at = end
        finally:
            self._rest = data[at:] if not self._is_theirs else b""
            self._is_advancing = False
        self._wait_for_the_rest(is_awaited=bool(self._rest) and not (self._passed or self._left or self._slots))
        if len(self._rest) > _HELD_BYTES or len(self._slots) >= MOST_UNDER_WAY:
            self._pause_transport_reading()

    def _begin(self, data: bytes, at: int) -> int | None:
        """Begin the request that stands there; where it ends, or None if it must wait."""
        if len(self._slots) >= MOST_UNDER_WAY:
            return None
        if data[at] in _LINE_ENDS:  # empty lines before a request are passed over
            return at + 1
        found = read_fast_request(data, at, self._desk.most_body_bytes)
        if isinstance(found, NotFast):
            fault = (other_protocol if found is NotFast.UNUSUAL else no_request)(data, at)
            if fault is not None:
                return self._refuse(fault, data)
            return self._pass_next(data, at) if found is NotFast.UNUSUAL else None
        request, end = found
        slot = PendingResponse(self._leave)
        self._slots.append(slot)
        if not self._desk.begin(request, slot):
            self._slots.remove(slot)
            return self._pass_next(data, at)
        return end

    def _refuse(self, fault: Invalid, data: bytes) -> int | None:
        """Answer what is no HTTP once all answers before it have left, and close.

        What still comes is read and dropped for a moment: a socket closed on it would be reset, and the answer lost.
        """
        transport = self.transport
        if self._slots or transport is None:
            return None
        self._is_over = True
        transport.write(encoded(refusal(fault), is_last=True))
        if transport.can_write_eof():
            transport.write_eof()
            self._loop.call_later(_LINGER_S, transport.close)
        else:
            transport.close()
        return len(data)

    def _pass_next(self, data: bytes, at: int) -> int | None:
        """Pass a request on to aiohttp once all answers before it have left."""
        if self._slots:
            return None
        length = whole_length(data, at)
        if length is None:
            self._is_theirs = True
            super().data_received(data[at:])
            return len(data)
        self._left, self._passed = length, 1
        return self._pass(data, at)

    def _pass(self, data: bytes, at: int) -> int | None:
        """Pass on what belongs to the request that aiohttp has; None when all of it was."""
        if not self._left:
            return None
        piece = data[at : at + self._left]
        self._left -= len(piece)
        super().data_received(piece)
        return at + len(piece)

    def _wait_for_the_rest(self, *, is_awaited: bool) -> None:
        """Give the client some time for its next piece of a request that is not whole."""
        if not is_awaited and self._pause is not None:
            self._pause.cancel()
            self._pause = None
        elif is_awaited and self._pause is None:
            self._pause = self._loop.call_later(self._desk.head_s, self._give_up)

    def _give_up(self) -> None:
        """Close a connection on which a request began and did not go on."""
        self._pause = None
        self.force_close()

    def _leave(self) -> None:
        """Have the answers leave that are ready: at once, or all of this turn together where several are under way."""
        if len(self._slots) == 1:
            self._write_ready()
        elif not self._is_leaving:
            self._is_leaving = True
            self._loop.call_soon(self._write_ready)

    def _write_ready(self) -> None:
        """Write the answers that are ready, up to the first that is not."""
        self._is_leaving = False
        slots, transport = self._slots, self.transport
        pieces: list[bytes] = []
        while slots and (answer := slots[0].answer) is not None and transport is not None:
            slot = slots.popleft()
            if transport.is_closing():
                if answer.unsent is not None:
                    answer.unsent()
                self._desk.ended(slot, GONE)
                continue
            is_last = self._desk.is_stopping or answer.status == 408
            pieces.append(encoded(answer, is_last=is_last))
            if not slots or answer.unsent is not None or len(answer.body) > _JOINED_BYTES:
                transport.write(b"".join(pieces))
                pieces.clear()
            if answer.unsent is not None and self._paused:  # it is large, and not all of it has left yet
                self._unsettled.append(answer.unsent)
            self._desk.ended(slot, answer.status)
            if is_last and not slots:
                transport.close()
        if pieces and transport is not None:
            transport.write(b"".join(pieces))
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._rest and not self._is_advancing:
            if len(slots) < MOST_UNDER_WAY // 2 and not self._paused:
                self._resume_transport_reading()
            self._advance()
