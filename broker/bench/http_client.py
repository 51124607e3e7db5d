"""A minimal HTTP/1.1 client: it sends prepared bytes and reads only status, length and body of a response.

A load generator must use less CPU than the broker. aiohttp's client uses more.
"""

import asyncio
import re
import ssl
import time
from typing import NamedTuple, Self, cast
from urllib.parse import urlsplit

import msgspec

clock = time.perf_counter

_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *(\d+)")
_CONNECT_S = 5.0


class BenchFailed(Exception):
    """The broker cannot be measured; the text has the reason."""


class Unreached(BenchFailed):
    """The broker cannot be reached."""


class BenchResponse(NamedTuple):
    """Status and body of a response."""

    status: int
    body: bytes

    @property
    def is_refusal(self) -> bool:
        """Whether the status is not 2xx."""
        return not 200 <= self.status < 300

    def __str__(self) -> str:
        return f"{self.status} {self.body[:200].decode('utf-8', 'replace')}".strip()


class BenchAddress(NamedTuple):
    """The address of a broker, and the headers of every request to it."""

    host: str
    port: int
    root: str
    headers: str
    tls: ssl.SSLContext | None

    @classmethod
    def read(cls, url: str, token: str = "", tls: ssl.SSLContext | None = None) -> Self:
        """Parse a URL. The default of `tls` trusts the system's authorities. Raises ValueError for another scheme."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url} is not an http:// or https:// address")
        is_https = parts.scheme == "https"
        headers = f"Host: {parts.netloc.rpartition('@')[2]}\r\n"
        headers += f"Authorization: Bearer {token}\r\n" if token else ""
        return cls(
            host=parts.hostname,
            port=parts.port or (443 if is_https else 80),
            root=parts.path.rstrip("/") + "/v1",
            headers=headers,
            tls=(tls or ssl.create_default_context()) if is_https else None,
        )

    def request(self, method: str, path: str, body: object = None, headers: str = "") -> bytes:
        """One request as bytes; `headers` are complete lines."""
        head = f"{method} {self.root}{path} HTTP/1.1\r\n{self.headers}{headers}"
        if body is None:
            length = "Content-Length: 0\r\n" if method == "POST" else ""
            return f"{head}{length}\r\n".encode()
        content = msgspec.json.encode(body)
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


class ClientConnection(asyncio.Protocol):
    """A keep-alive connection. A subclass handles the responses, which arrive in the order of the requests."""

    async def open(self, address: BenchAddress) -> Self:
        """Connect. Raises Unreached."""
        loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._needed_bytes = 0
        try:
            async with asyncio.timeout(_CONNECT_S):
                await loop.create_connection(lambda: self, address.host, address.port, ssl=address.tls)
        except OSError as error:
            reason = error.strerror or str(error) or "no answer"
            raise Unreached(f"No connection to {address.host}:{address.port}: {reason}.") from error
        return self

    def answered(self, status: int, body: bytes) -> None:
        """Handle a response."""
        raise NotImplementedError

    def lost(self, reason: str) -> None:
        """Handle the loss of the connection."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connection immediately."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class has the same methods, but another base
        self.write = self._transport.write

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the reason to the subclass."""
        self.lost(str(exc) if exc else "The broker closed the connection.")

    def data_received(self, data: bytes) -> None:
        """Split the received bytes into responses."""
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed_bytes:
                return
            data = bytes(self._buffer)
            self._buffer.clear()
        start = 0
        while start < len(data):
            end = self._parse(data, start)
            if not end:
                self._buffer += data[start:]
                return
            start = end

    def _parse(self, data: bytes, start: int) -> int:
        """Handle the response that begins at `start`; its end, or 0 if it is incomplete."""
        head = data.find(b"\r\n\r\n", start)
        if head < 0:
            self._needed_bytes = 0
            return 0
        status = int(data[start + 9 : start + 12])
        found = _LENGTH.search(data, start, head)
        if found is None and status != 204:
            self.lost("A response has no Content-Length.")
            self.close()
            return len(data)
        end = head + 4 + (int(found[1]) if found else 0)
        if end > len(data):
            self._needed_bytes = end - start
            return 0
        self.answered(status, data[head + 4 : end])
        return end


class Caller(ClientConnection):
    """A connection for one task at a time, which waits for the responses."""

    def __init__(self) -> None:
        self._answers: list[BenchResponse] = []
        self._expected = 0
        self._ready: asyncio.Future[None] | None = None
        self._fault = ""

    async def call(self, request: bytes) -> BenchResponse:
        """Send one request; its response. Raises BenchFailed."""
        [answer] = await self.calls([request])
        return answer

    async def calls(self, requests: list[bytes]) -> list[BenchResponse]:
        """Send several requests together; their responses. Raises BenchFailed."""
        self.send(b"".join(requests))
        return await self.answers(len(requests))

    def send(self, requests: bytes) -> None:
        """Send without waiting."""
        if not self._fault:
            self.write(requests)

    async def answers(self, n: int) -> list[BenchResponse]:
        """The next n responses. Raises BenchFailed."""
        while len(self._answers) < n:
            if self._fault:
                raise BenchFailed(self._fault)
            self._expected, self._ready = n, asyncio.get_running_loop().create_future()
            await self._ready
        answers, self._answers = self._answers[:n], self._answers[n:]
        return answers

    def answered(self, status: int, body: bytes) -> None:
        """Keep a response, and wake the waiting task after the last one."""
        self._answers.append(BenchResponse(status, body))
        if len(self._answers) >= self._expected:
            self._wake()

    def lost(self, reason: str) -> None:
        """Keep the reason, and wake the waiting task, which then raises."""
        self._fault = self._fault or reason
        self._wake()

    def _wake(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
