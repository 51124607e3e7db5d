"""Requests of TLS connections that are on their way when a broker stops listening."""

import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.security.certificates import Authority
from tests.system.conftest import Program
from tests.system.test_last_connections import ENQUEUE
from tests.system.test_serve import all_of, link_to

pytestmark = pytest.mark.slow

CREATED = b"HTTP/1.1 201"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class TlsBroker:
    """A broker that serves https, and connections to it."""

    def __init__(self, program: Program, url: str, context: ssl.SSLContext, stack: ExitStack) -> None:
        self.program, self._url, self._context, self._stack = program, url, context, stack

    def connect(self) -> socket.socket:
        """Open a connection without a handshake."""
        return self._stack.enter_context(link_to(self._url))

    def wrap(self, link: socket.socket, *, is_begun: bool = True) -> ssl.SSLSocket:
        """Make the handshake on a connection; `is_begun` False: return before it begins."""
        secure = self._context.wrap_socket(
            link, server_hostname=urlsplit(self._url).hostname, do_handshake_on_connect=is_begun
        )
        return self._stack.enter_context(secure)

    def freeze(self) -> None:
        """Stop the process: the kernel completes connections, and keeps what they send."""
        self.program.started.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        """Send SIGTERM, and let the process run again."""
        self.program.started.send_signal(signal.SIGTERM)
        self.program.started.send_signal(signal.SIGCONT)


@pytest.fixture
def tls(titan: Callable[..., Program], tmp_path: Path) -> Iterator[TlsBroker]:
    """A broker with a certificate."""
    authority = Authority(tmp_path, "ours")
    program = titan("broker", "--port", "0", "--tls-cert", str(authority.certificate("server")))
    url = program.says(r"serves on (https://\S+);")[1]
    with ExitStack() as stack:
        yield TlsBroker(program, url, ssl.create_default_context(cafile=authority.pem), stack)


def test_requests_that_arrived_with_the_stop_are_answered(tls: TlsBroker) -> None:
    """New connections, and one that was used before, are served when their request waits in the kernel at the stop."""
    links = [tls.wrap(tls.connect()) for _ in range(30)]
    links[0].sendall(HEALTH)
    assert links[0].recv(65_536).startswith(b"HTTP/1.1 200")
    tls.freeze()
    for link in links:
        link.sendall(ENQUEUE)
    tls.stop()
    assert [all_of(link)[:12] for link in links] == [CREATED] * 30
    assert tls.program.wait() == 0


def test_handshakes_that_began_before_the_stop_are_completed(tls: TlsBroker) -> None:
    """Connections that the broker had not accepted at the stop have their handshake, and their request is answered."""
    tls.freeze()
    links = [tls.wrap(tls.connect(), is_begun=False) for _ in range(30)]
    for link in links:
        link.settimeout(0)
        with suppress(ssl.SSLWantReadError):  # the first message of the handshake is sent
            link.do_handshake()
    tls.stop()
    for link in links:
        link.settimeout(10)
        link.do_handshake()
        link.sendall(ENQUEUE)
    assert [all_of(link)[:12] for link in links] == [CREATED] * 30
    assert tls.program.wait() == 0


def test_silent_connections_do_not_hold_up_a_stop(tls: TlsBroker) -> None:
    """Connections that begin no handshake, or send no request after it, cost a stop at most 2 s."""
    silent = [tls.connect() for _ in range(10)]
    links = [tls.wrap(tls.connect()) for _ in range(10)]
    began = time.monotonic()
    assert tls.program.stop() == 0
    assert time.monotonic() - began < 5
    assert [all_of(link) for link in silent] == [b""] * 10
    assert [all_of(link) for link in links] == [b""] * 10
