"""Holding a port that several processes are to share: bound, so that nobody else gets it, but not listening."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from broker.store.connect import StartFailed


@contextmanager
def held_port(host: str, port: int) -> Iterator[int]:
    """The port, taken for those of this user who listen with SO_REUSEPORT; 0 takes a free one.

    Raises StartFailed when somebody listens there already, or the address is not ours.
    """
    with ExitStack() as stack:
        try:
            for family, _, _, _, address in socket.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            ):
                with _bound(family, (address[0], port, *address[2:]), socket.SO_REUSEADDR):
                    pass  # alone: it does not share with what another start left behind
                held = stack.enter_context(_bound(family, (address[0], port, *address[2:]), socket.SO_REUSEPORT))
                port = held.getsockname()[1]
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise StartFailed(f"Cannot listen on {host}:{port}: {reason}.") from error
        yield port


@contextmanager
def _bound(family: int, address: tuple[object, ...], option: int) -> Iterator[socket.socket]:
    with socket.socket(family, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, option, 1)
        if family == socket.AF_INET6:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        held.bind(address)
        yield held
