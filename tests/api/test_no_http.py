"""Other protocols at the port: answered at once and closed, whatever has come of them, and however slowly."""

import asyncio
import json

import pytest

from broker.core.settings import BrokerSettings
from tests.api.client import Http

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = (
    b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64\x00\x04\x00\xa0\x00\x00\x00\x02\x00\x00\x00\x00"
)
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x07" * 500
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
NOWHERE = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"POST /v1/jobs/touch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"

OTHERS: dict[str, tuple[bytes, str]] = {
    "HTTP/2": (PREFACE, "HTTP/2 is not supported: send HTTP/1.1."),
    "HTTP/2 and its first frame": (PREFACE + SETTINGS, "HTTP/2 is not supported: send HTTP/1.1."),
    "HTTP/2, its first line": (PREFACE[:16], "HTTP/2 is not supported: send HTTP/1.1."),
    "TLS": (HELLO, "This port speaks plain HTTP, not TLS: use http:// in the address."),
    "TLS, its first byte": (HELLO[:1], "This port speaks plain HTTP, not TLS: use http:// in the address."),
    "TLS with the end of a head inside": (
        HELLO + b"\r\n\r\n",
        "This port speaks plain HTTP, not TLS: use http:// in the address.",
    ),
}
OTHERS |= {
    name: (sent, "The request is not valid HTTP.")
    for name, sent in {
        "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
        "SMTP": b"EHLO example.org\r\n",
        "Redis": b"*1\r\n$4\r\nPING\r\n",
        "Redis by hand": b"PING\r\n",
        "PROXY": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
        "PROXY 2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c",
        "SOCKS 5": b"\x05\x01\x00",
        "Postgres": b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        "zeros": b"\x00" * 16,
        "text": b"hello, is there anybody?\n",
        "HTTP/0.9": b"GET /healthz\r\n",
        "a method without end": b"X" * 40,
    }.items()
}
of_each = pytest.mark.parametrize(("sent", "message"), OTHERS.values(), ids=OTHERS)


def told(answer: bytes) -> str:
    """The message of the one answer, which is a 400 that closes."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 "), answer
    assert b"Connection: close" in head
    error = json.loads(body)["error"]
    assert error["code"] == "invalid"
    return str(error["message"])


@of_each
async def test_another_protocol(http: Http, sent: bytes, message: str) -> None:
    """It is told what is wrong long before the deadline of a head, and closed, though it waits for an answer itself."""
    assert told(await http.raw(sent)) == message


@pytest.mark.parametrize("sent", [PREFACE, PREFACE[:16], HELLO[:3], b"SSH-2.0-x\r\n"])
async def test_another_protocol_in_pieces(http: Http, sent: bytes) -> None:
    """It may come byte by byte; what comes behind the answer does not cost the client the answer."""
    async with http.line(b"") as (reader, writer):
        for i in range(len(sent)):
            writer.write(sent[i : i + 1])
            await writer.drain()
            await asyncio.sleep(0)
        assert told(await reader.read())


@pytest.mark.parametrize("sent", [PREFACE, HELLO, b"SSH-2.0-x\r\n"], ids=["HTTP/2", "TLS", "SSH"])
async def test_another_protocol_behind_a_request_of_aiohttps(http: Http, sent: bytes) -> None:
    """Behind a request after which the connection is aiohttp's it is answered and closed as well."""
    async with http.line(CHUNKED) as (reader, writer):
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 400 ")
        await reader.readuntil(b"}")
        writer.write(sent)
        assert b" 400 " in (await reader.read()).partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "before", [HEALTH, b"\r\n\r\n" + HEALTH, NOWHERE + HEALTH], ids=["plain", "empty lines", "aiohttp"]
)
async def test_another_protocol_behind_requests(http: Http, before: bytes) -> None:
    """The requests before it are answered first, in order."""
    answers = await http.raw(before + PREFACE)
    last = answers.rindex(b"HTTP/1.1 ")
    assert answers[:last].count(b"HTTP/1.1 ") == before.count(b" HTTP/1.1")
    assert told(answers[last:]).startswith("HTTP/2 ")


@pytest.mark.parametrize("settings", [BrokerSettings(key_prefix="shed", max_in_progress=1)])
async def test_another_protocol_while_load_is_shed(http: Http) -> None:
    """It is no request: it waits for no turn."""
    dispatcher = next(iter(http.runner.app.values()))
    dispatcher.context.admission.resume(1000)
    try:
        assert told(await http.raw(PREFACE)).startswith("HTTP/2 ")
    finally:
        dispatcher.context.admission.leave(1000)


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 14, 20, 30, 38, 45])
@pytest.mark.parametrize(
    "request_", [HEALTH, b"\r\n" + HEALTH, b"POST /v1/jobs/touch HTTP/1.1\r\nHost: localhost\r\n\r\n"]
)
async def test_a_request_in_pieces_is_none_of_them(http: Http, request_: bytes, cut: int) -> None:
    """A request whose head comes in pieces is waited for, wherever it is cut."""
    async with http.line(request_[:cut]) as (reader, writer):
        await asyncio.sleep(0.01)
        writer.write(request_[cut:])
        assert (await reader.readuntil(b"\r\n")).startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))
        assert b"valid HTTP" not in await reader.readuntil(b"}")


async def test_upgrade_to_http_2(http: Http) -> None:
    """Who asks for HTTP/2 politely is answered by HTTP/1.1."""
    lines = b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
    assert (await http.raw(HEALTH[:-2] + lines)).startswith(b"HTTP/1.1 200 ")
