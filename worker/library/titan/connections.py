"""Connections to brokers by http.client. They are kept open, and several threads may use them at once."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from titan.addresses import explain_other_protocol, explain_unanswered, explain_unconnected
from titan.answers import refusal
from titan.calls import Answer, Request, encode
from titan.dialect import check_dialect
from titan.errors import BrokerUnavailable, BrokerUnreachable, Stopping, StoreUnavailable
from titan.settings import CONNECT_S, ClientSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPConnection

_IDLE = 16
"""How many idle connections are kept."""


class Connections:
    """Connections to one broker of several: it uses one until it fails, and then the next one for later requests."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._lock = threading.RLock()  # a signal handler may call `abort` while it is held
        self._current = 0
        self._idle: list[tuple[int, HTTPConnection]] = []
        self._busy: set[HTTPConnection] = set()
        self._answered: set[int] = set()
        self._is_aborted = False

    def send(self, request: Request) -> Answer:
        """Send the request once. Raises the refusal of the broker, or BrokerUnavailable."""
        current = self._current
        try:
            return self._send_to(current, request)
        except (BrokerUnavailable, StoreUnavailable, Stopping):
            self._use_next(current)
            raise

    def lines(self, request: Request, pause_s: float) -> Iterator[bytes]:
        """The lines of an answer that has no end, over a connection of its own. It may not pause for `pause_s`.

        Raises the refusal of the broker, or BrokerUnavailable.
        """
        current = self._current
        base_url = self._settings.urls[current]
        try:
            connection = self._connect(current)
            try:
                self._check_not_aborted()
                with self._lock:
                    self._busy.add(connection)
                if connection.sock is not None:
                    connection.sock.settimeout(pause_s)
                path = urlsplit(base_url).path
                connection.request(
                    request.method, f"{path}/v1{request.target}", None, {**self._settings.headers, **request.headers}
                )
                answer = connection.getresponse()
                check_dialect(answer.headers, base_url)
                if answer.status >= 300:
                    raise refusal(answer.status, answer.headers, answer.read(), base_url)
                self._answered.add(current)
                yield from answer
            except (OSError, http.client.HTTPException) as error:
                raise self._explained(error, current, request) from error
            finally:
                with self._lock:
                    self._busy.discard(connection)
                connection.close()
        except (BrokerUnavailable, StoreUnavailable, Stopping):
            self._use_next(current)
            raise

    def abort(self) -> None:
        """Close all connections, also those that wait for an answer. Later requests fail."""
        with self._lock:
            self._is_aborted = True
            busy = list(self._busy)
        for connection in busy:
            sock = connection.sock
            with suppress(OSError, AttributeError):  # it was closed meanwhile
                sock.shutdown(socket.SHUT_RDWR)
        self.close()

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def _send_to(self, current: int, request: Request) -> Answer:
        connection = self._idle_one(current) or self._connect(current)
        base_url = self._settings.urls[current]
        url = f"{base_url}/v1{request.target}"
        try:
            with self._lock:
                self._busy.add(connection)
            self._check_not_aborted()
            status, headers, body = self._exchange(connection, url, request)
        except BaseException as error:
            connection.close()
            if isinstance(error, (OSError, http.client.HTTPException)):
                raise self._explained(error, current, request) from error
            raise
        finally:
            with self._lock:
                self._busy.discard(connection)
        self._answered.add(current)
        self._keep(current, connection)
        check_dialect(headers, base_url)
        if status >= 300:
            raise refusal(status, headers, body, base_url)
        return Answer(body, headers, url)

    def _exchange(
        self, connection: HTTPConnection, url: str, request: Request
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        if connection.sock is not None:
            connection.sock.settimeout(self._settings.timeout_s + request.extra_s)
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        headers = {**self._settings.headers, **request.headers}
        body = request.text if request.body is None else encode(request.body)
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it read everything
            connection.request(request.method, target, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.will_close:
            connection.close()
        return answer.status, answer.headers, content

    def _connect(self, current: int) -> HTTPConnection:
        base_url = self._settings.urls[current]
        parts = urlsplit(base_url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            tls = self._settings.tls or ssl.create_default_context()
            connection: HTTPConnection = http.client.HTTPSConnection(host, parts.port, timeout=CONNECT_S, context=tls)
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=CONNECT_S)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise BrokerUnreachable(explain_unconnected(error, base_url, CONNECT_S)) from error
        return connection

    def _idle_one(self, current: int) -> HTTPConnection | None:
        """An idle connection that the broker has not closed."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                owner, connection = self._idle.pop()
            if owner == current and connection.sock is not None and not _is_readable(connection.sock):
                return connection
            connection.close()

    def _keep(self, current: int, connection: HTTPConnection) -> None:
        with self._lock:
            is_kept = connection.sock is not None and len(self._idle) < _IDLE and not self._is_aborted
            if is_kept:
                self._idle.append((current, connection))
        if not is_kept:
            connection.close()

    def _check_not_aborted(self) -> None:
        if self._is_aborted:
            raise BrokerUnreachable("The client was closed.")

    def _use_next(self, current: int) -> None:
        """Switch to the next broker, unless another thread has done that already."""
        with self._lock:
            if current == self._current:
                self._current = (current + 1) % len(self._settings.urls)

    def _explained(
        self, error: OSError | http.client.HTTPException, current: int, request: Request
    ) -> BrokerUnavailable:
        base_url = self._settings.urls[current]
        limit_s = self._settings.timeout_s + request.extra_s
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return BrokerUnreachable(explain_unconnected(error, base_url, limit_s))
        is_broken_off = isinstance(error, (OSError, http.client.IncompleteRead))
        if not is_broken_off:
            return BrokerUnavailable(explain_other_protocol(base_url))
        text = explain_unanswered(error, base_url, limit_s, has_answered=current in self._answered)
        return BrokerUnavailable(text)


def _is_readable(sock: socket.socket) -> bool:
    """Whether an idle connection has something to read: its end, since there is no request without an answer."""
    if hasattr(select, "poll"):  # select takes no descriptors above 1023
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])
