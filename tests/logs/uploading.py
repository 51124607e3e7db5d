"""A server that takes uploads as the broker does, and bodies to send to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from broker.core.errors import TitanError
from broker.core.settings import BrokerSettings
from broker.http.error_responses import STATUS
from broker.http.request.multipart import log_pieces

MAX_BYTES = 4 * 1024 * 1024
FORM = "multipart/form-data; boundary=XyZ"
PAUSE_S = 0.5
END = b"--XyZ--\r\n"
LOG = b"one\r\ntwo\n--Xy\r\n--X\r\n\xff\x00 three"


class Answer(NamedTuple):
    """What became of an upload: the code of a refusal, 'stored' or 'cancelled', its fields, and the bytes that came."""

    code: str
    fields: str
    log: bytes


class Front:
    """A server that takes uploads as the broker does, and its address."""

    def __init__(self) -> None:
        self.settings = BrokerSettings(max_log_bytes=MAX_BYTES, body_timeout_s=PAUSE_S)
        self.ended: asyncio.Queue[Answer] = asyncio.Queue()
        self.port = 0

    async def take(self, request: web.Request) -> web.Response:
        """The handler: reads the whole log; nothing but a refusal may come out of it."""
        log = bytearray()
        try:
            async for piece in log_pieces(request, self.settings):
                log += piece
        except TitanError as error:
            self.ended.put_nowait(Answer(error.code, error.fields, bytes(log)))
            return web.Response(status=STATUS[type(error)])
        except asyncio.CancelledError:
            self.ended.put_nowait(Answer("cancelled", "", bytes(log)))
            raise
        self.ended.put_nowait(Answer("stored", "", bytes(log)))
        return web.Response(status=200)

    async def send(self, body: bytes, kind: str = FORM, chunk: int = 0, **headers: str) -> Answer:
        """Send a body as it stands, and hang up after it; what the handler made of it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request_bytes(body, kind, chunk, **headers))
        if len(body) < int(headers.get("Content_Length", 0)):
            writer.write_eof()
        answer = await self.ended.get()
        await reader.readline()
        await closed(writer)
        return answer


@contextlib.asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[int]:
    """A server with one handler, set up as the broker's; its port."""
    app = web.Application(client_max_size=1024)
    app.router.add_post("/", handler)
    runner = web.AppRunner(app, handler_cancellation=True, auto_decompress=False, access_log=None, lingering_time=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


def request_bytes(body: bytes, kind: str = FORM, chunk: int = 0, **headers: str) -> bytes:
    """A request with a body as it stands, in one piece or chunked."""
    head = [b"POST / HTTP/1.1", b"Host: localhost", b"Connection: close"]
    head += [f"{name.replace('_', '-')}: {value}".encode() for name, value in headers.items()]
    if kind:
        head.append(f"Content-Type: {kind}".encode())
    if chunk:
        head.append(b"Transfer-Encoding: chunked")
        parts = [body[at : at + chunk] for at in range(0, len(body), chunk)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    elif "Content_Length" not in headers:
        head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def part(name: str, content: bytes, *headers: str, filename: str | None = None) -> bytes:
    """One part of a form, with the line before it."""
    disposition = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    head = "\r\n".join([disposition, *headers])
    return b"--XyZ\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"


async def closed(writer: asyncio.StreamWriter) -> None:
    """Cut a connection."""
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
