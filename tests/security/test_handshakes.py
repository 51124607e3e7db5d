"""TLS handshakes that do not end: each has its time, takes no other's place, and holds nobody up."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from broker.auth.tls import Tls
from broker.core.settings import BrokerSettings
from broker.http.app import Broker, make_app
from broker.http.server.runner import BrokerRunner
from broker.http.server.tls_site import TlsSite
from broker.logs.storage import Logs
from broker.resp.notifier import Notifier
from tests.conftest import eventually
from tests.security.certificates import Authority
from tests.stores import Store

HANDSHAKE_S = 0.5
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The broker's authority."""
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture
def settings() -> BrokerSettings:
    """A short time, and four connections."""
    return BrokerSettings(key_prefix="tls", tls_handshake_timeout_s=HANDSHAKE_S, max_connections=4)


@pytest.fixture
async def runner(
    store: Store, logs: Logs, notifier: Notifier, settings: BrokerSettings, ours: Authority
) -> AsyncIterator[BrokerRunner]:
    """A broker that serves https."""
    runner = BrokerRunner(
        make_app(Broker(store, logs, notifier, settings)), settings, access_log=None, shutdown_timeout=1
    )
    await runner.setup()
    context = Tls(str(ours.certificate("server"))).context
    limit_s = settings.tls_handshake_timeout_s
    site = TlsSite(runner, "127.0.0.1", 0, context, runner.guard, limit_s, backlog=100, reuse_port=False)
    await site.start()
    yield runner
    await runner.cleanup()


class Clients:
    """Clients of it."""

    def __init__(self, address: tuple[str, int], trusted: Path) -> None:
        self._address = address
        self._tls = ssl.create_default_context(cafile=trusted)
        self._lines: list[Line] = []

    async def silent(self) -> Line:
        """One that connects and says nothing."""
        line = await asyncio.open_connection(*self._address)
        self._lines.append(line)
        return line

    async def served(self) -> Line:
        """One that is through its handshake and has been answered."""
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(*self._address, ssl=self._tls)
            self._lines.append((reader, writer))
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert await reader.readuntil(b"}") != b""
        return reader, writer

    async def close(self) -> None:
        for _, writer in self._lines:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


@pytest.fixture
async def clients(runner: BrokerRunner, ours: Authority) -> AsyncIterator[Clients]:
    """Clients, closed at the end."""
    clients = Clients(runner.addresses[0][:2], ours.pem)
    yield clients
    await clients.close()


async def ends(reader: asyncio.StreamReader) -> float:
    """When the broker closed a connection on which it said nothing, s."""
    async with asyncio.timeout(5):
        with suppress(ConnectionError):
            assert await reader.read() == b""
    return time.monotonic()


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["silent", "half a hello"])
async def test_handshake_that_does_not_end(clients: Clients, said: bytes) -> None:
    """A client that does not go on with its handshake is closed after its time."""
    began = time.monotonic()
    reader, writer = await clients.silent()
    writer.write(said)
    assert HANDSHAKE_S - 0.05 <= await ends(reader) - began < HANDSHAKE_S + 2


async def test_handshakes_that_do_not_end_hold_nobody_up(clients: Clients, runner: BrokerRunner) -> None:
    """With every place taken by silent clients the oldest of these goes at once, and the next client is served."""
    began = time.monotonic()
    silent = [await clients.silent() for _ in range(4)]
    await clients.served()
    served_after_s = time.monotonic() - began
    gone = await ends(silent[0][0]) - began
    assert served_after_s < HANDSHAKE_S
    assert gone < HANDSHAKE_S
    assert runner.guard.count == 1
    assert not any(reader.at_eof() for reader, _ in silent[1:])


async def test_handshakes_take_no_place_of_a_connection(clients: Clients, runner: BrokerRunner) -> None:
    """Those who have been served stay, however many come and say nothing."""
    lines = [await clients.served() for _ in range(3)]
    silent = [await clients.silent() for _ in range(20)]
    for reader, _ in silent[:19]:
        await ends(reader)
    for reader, writer in lines:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
    assert runner.guard.count == 3


async def test_no_handshake_when_all_places_are_busy(clients: Clients, runner: BrokerRunner) -> None:
    """With every place taken by connections that have asked, a new one is closed, and has no handshake."""
    for _ in range(4):
        await clients.served()
    reader, _ = await clients.silent()
    began = time.monotonic()
    assert await ends(reader) - began < HANDSHAKE_S
    assert runner.guard.count == 4


async def test_place_is_free_when_a_handshake_ends_by_itself(clients: Clients, runner: BrokerRunner) -> None:
    """A client that hangs up, or speaks no TLS, leaves nothing behind."""
    for said in (b"", b"GET / HTTP/1.1\r\n\r\n"):
        reader, writer = await clients.silent()
        writer.write(said)
        if not said:
            writer.close()
        else:
            async with asyncio.timeout(HANDSHAKE_S):
                with suppress(ConnectionError):
                    await reader.read()
    [site] = runner.sites
    await eventually(lambda: not site._server._running)
    await clients.served()


async def test_stop_ends_handshakes(clients: Clients, runner: BrokerRunner) -> None:
    """A broker that has stopped listening has no handshake left: it waited for a silent one for a moment only."""
    reader, _ = await clients.silent()
    [site] = runner.sites
    await eventually(lambda: site._server._running)
    await site.stop()
    stopped = time.monotonic()
    assert await ends(reader) - stopped < HANDSHAKE_S / 2
    assert not site._server._running
    with pytest.raises(ConnectionError):
        await clients.silent()


async def test_stop_completes_handshakes_that_are_under_way(
    clients: Clients, runner: BrokerRunner, ours: Authority
) -> None:
    """Connections whose handshake runs, or waits in the kernel, when the broker stops listening are served."""
    [site] = runner.sites
    tls = ssl.create_default_context(cafile=ours.pem)
    with ExitStack() as stack:
        links = [stack.enter_context(hello(tls, runner.addresses[0][:2]))]
        await eventually(lambda: site._server._running)
        links.append(stack.enter_context(hello(tls, runner.addresses[0][:2])))  # the loop has not seen it
        stopping = asyncio.create_task(site.stop())
        answers = [await asyncio.to_thread(answer_of, link) for link in links]
        await stopping
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * 2


def hello(tls: ssl.SSLContext, address: tuple[str, int]) -> ssl.SSLSocket:
    """A connection on which the client has sent the first message of its handshake."""
    link = tls.wrap_socket(socket.create_connection(address), server_hostname=address[0], do_handshake_on_connect=False)
    link.settimeout(0)
    with suppress(ssl.SSLWantReadError):
        link.do_handshake()
    link.settimeout(5)
    return link


def answer_of(link: ssl.SSLSocket) -> bytes:
    """The response to a request that is sent when the handshake has ended."""
    link.do_handshake()
    link.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return link.recv(4096)


async def test_http_2_inside_tls(runner: BrokerRunner, ours: Authority) -> None:
    """A client that speaks HTTP/2 without asking is told so at once; one that offers it is led to HTTP/1.1."""
    tls = ssl.create_default_context(cafile=ours.pem)
    tls.set_alpn_protocols(["h2", "http/1.1"])
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2], ssl=tls)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    async with asyncio.timeout(10):
        for piece in (b"PRI * HTT", b"P/2.0\r\n\r\nSM", b"\r\n\r\n"):
            writer.write(piece)
            await writer.drain()
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"HTTP/2 is not supported" in answer
