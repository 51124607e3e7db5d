"""Requests that are on their way when a broker stops listening."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from tests.system.conftest import Program
from tests.system.test_serve import all_of, link_to, wait_until_refused

pytestmark = pytest.mark.slow

Start = Callable[..., tuple[Program, str]]
Link = Callable[[str], socket.socket]
BODY = b'{"jobs":[{"image":"x"}]}'
ENQUEUE = b"POST /v1/groups/g/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


@pytest.fixture
def link() -> Iterator[Link]:
    """Opens connections that are closed with the test."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(link_to(url))


def test_requests_that_arrived_with_the_stop_are_answered(broker: Start, link: Link) -> None:
    """Connections that the broker had not accepted, or not read from, when it got SIGTERM are served before it ends."""
    program, url = broker()
    program.started.send_signal(signal.SIGSTOP)  # the kernel completes connections, and keeps what they send
    links = [link(url) for _ in range(100)]
    for one in links:
        one.sendall(ENQUEUE)
    program.started.send_signal(signal.SIGTERM)
    program.started.send_signal(signal.SIGCONT)
    answers = [all_of(one) for one in links]
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 201"] * 100
    assert program.wait() == 0


def test_request_sent_after_the_stop_on_a_new_connection_is_answered(broker: Start, link: Link) -> None:
    """A client that connected just before the port closed has a moment to send its request."""
    program, url = broker()
    late = link(url)
    program.started.send_signal(signal.SIGTERM)
    wait_until_refused(url)
    late.sendall(ENQUEUE)
    assert all_of(late)[:12] == b"HTTP/1.1 201"
    assert program.wait() == 0


def test_silent_connections_do_not_hold_up_a_stop(broker: Start, link: Link) -> None:
    """Connections without a request, old and new, cost a stop less than a second."""
    program, url = broker()
    links = [link(url) for _ in range(20)]
    program.started.send_signal(signal.SIGTERM)
    program.says("INFO broker.service.broker: stopping")
    began = time.monotonic()
    assert [all_of(one) for one in links] == [b""] * 20
    assert time.monotonic() - began < 2
    assert program.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), 5)
