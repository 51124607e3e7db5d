"""Why a broker cannot be reached: each cause has its own message, with what to do."""

import asyncio
import socket
import ssl
from pathlib import Path

import aiohttp
import pytest

from tests.security.certificates import Authority
from titan.addresses import OPTIONS, broker_address, tls_of
from titan.async_session import explain_failure
from titan.errors import BrokerUnavailable
from worker.client import Client

KEY = aiohttp.client_reqrep.ConnectionKey("h", 80, False, True, None, None, None)  # noqa: FBT003


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("127.0.0.1:8080", "Write http://127.0.0.1:8080, or https://127.0.0.1:8080 for a broker with TLS."),
        ("localhost", "Write http://localhost,"),
        ("http:/h:1", "Write http://h:1,"),
        ("no url", "Write http://HOST:PORT,"),
        ("ann:secret@h", "Write http://h,"),
        ("ftp://h", "begins with ftp://"),
        ("http://", "no host"),
        ("http://h:99999", "its host or its port"),
        ("http://h:0", "its port"),
        ("http://h/ x", "a space"),
        ("http://ann:secret@h", "a user or a password"),
        ("http://h/?a=b", "a ? or #"),
        ("", "no broker"),
    ],
)
def test_an_address_that_cannot_be_a_brokers(text: str, message: str) -> None:
    """What is wrong with an address is said, and how to write it; a password in it is not shown."""
    with pytest.raises(ValueError, match=r"\.$") as raised:
        broker_address(text)
    assert message in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("text", ["http://h", "HTTP://h/", "http://h/v1", " http://h/v1/ "])
def test_an_address_in_other_words(text: str) -> None:
    """Capitals, and a / or the /v1 of the API at the end, make no difference."""
    assert broker_address(text) == "http://h"


async def reason(url: str, ca: Path | None = None) -> str:
    """What a client says of a broker that it cannot reach."""
    async with Client(url, tls=tls_of(str(ca)) if ca else None, timeout_s=5) as client:
        with pytest.raises(BrokerUnavailable) as raised:
            await client.groups()
    return raised.value.message


async def listening(answer: bytes, tls: ssl.SSLContext | None = None) -> tuple[asyncio.Server, str]:
    """A server that answers this to whatever comes, and hangs up; and its host and port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    return server, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_nobody_listens(unused_tcp_port: int) -> None:
    """An address where nothing listens is named, and how to start a broker."""
    url = f"http://127.0.0.1:{unused_tcp_port}"
    assert (await reason(url)).startswith(f"The broker at {url} cannot be reached. Nothing listens there.")


@pytest.mark.parametrize(
    ("answer", "scheme", "message"),
    [
        (b"SSH-2.0-x\r\n", "http", "does not speak HTTP"),
        (b"SSH-2.0-x\r\n", "https", "It has no TLS at this port. Its address is perhaps http://"),
        (b"", "http", "If it has TLS, its address is https://"),
    ],
)
async def test_something_else_listens(answer: bytes, scheme: str, message: str) -> None:
    """A server of another kind is distinguished from an unreachable broker."""
    server, place = await listening(answer)
    async with server:
        assert message in await reason(f"{scheme}://{place}")


async def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    """An unknown authority is reported, and so is plain HTTP to a port with TLS."""
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(ours.certificate("server"))
    server, place = await listening(b"", tls)
    async with server:
        assert "Name the authority with --ca-file." in await reason(f"https://{place}", others.pem)
        assert f"If it has TLS, its address is https://{place}" in await reason(f"http://{place}")


@pytest.mark.parametrize(
    ("code", "message"),
    [(62, "for another name than h"), (10, "has expired"), (9, "is not valid yet"), (19, "--ca-file")],
)
def test_what_is_wrong_with_a_certificate(code: int, message: str) -> None:
    """A wrong name and an expired or future certificate are distinguished from an unknown authority."""
    fault = ssl.SSLCertVerificationError("x")
    fault.verify_code = code
    error = aiohttp.ClientConnectorCertificateError(KEY, fault)
    assert message in explain_failure(error, "https://h", OPTIONS, has_answered=False, limit_s=5)


def test_names_that_are_not_known() -> None:
    """A name that does not exist is distinguished from a name server that does not answer."""
    for number, message in ((socket.EAI_NONAME, "Look for a typo"), (socket.EAI_AGAIN, "no name server answers")):
        error = aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(number, "x"))
        assert message in explain_failure(error, "http://h", OPTIONS, has_answered=False, limit_s=5)


def test_no_connection_in_time() -> None:
    """A host that accepts no connections, or none with TLS, is reported with the time that it had."""
    error = aiohttp.ConnectionTimeoutError()
    assert "within 5 s" in explain_failure(error, "http://h", OPTIONS, has_answered=False, limit_s=5)
    assert "If it has no TLS, its address is http://h." in explain_failure(
        error, "https://h", OPTIONS, has_answered=False, limit_s=5
    )
