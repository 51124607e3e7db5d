"""`titan broker --processes N`: one parent process that supervises N brokers. They share a port and nothing else.

The parent answers no requests. Each broker is a separate process (broker.cli.child) that listens on the port with
SO_REUSEPORT, so the kernel distributes connections over the running ones. A broker that dies is started again. When
the parent is gone, the standard input of each broker ends, and the broker stops.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory

import msgspec
from msgspec import Struct

from broker.core.errors import StartFailed
from broker.core.service_notifier import SILENT, ServiceNotifier
from broker.core.settings import BrokerSettings
from broker.models.doctor import NO_SOURCES, Source

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""The pause before a broker that died starts again, in s. It doubles each time, unless the broker ran for longer."""
_KILL_AFTER_S = 5.0
"""How long after its grace time a broker is killed, in s."""

_log = logging.getLogger(__name__)


class ChildArguments(Struct, frozen=True):
    """The arguments of a broker process: a line of JSON on its standard input."""

    settings: BrokerSettings
    number: int
    folder: str
    sources: dict[str, Source] = {}


class Ready(Struct, frozen=True):
    """The message of a broker process that serves: a line of JSON on its standard output."""

    url: str
    redis_cli: str


async def serve_many(
    settings: BrokerSettings,
    on_ready: Callable[[Ready], None],
    is_hung_up: Callable[[], bool] = lambda: False,
    notifier: ServiceNotifier = SILENT,
    sources: Mapping[str, Source] = NO_SOURCES,
) -> int:
    """Run settings.processes brokers until SIGTERM or SIGINT; the exit code. `on_ready` is called once all serve.

    SIGHUP is forwarded to them, or stops them all when `is_hung_up` returns that the terminal is closed. `notifier`
    reports to the service manager for all of them.

    `sources` is for the doctor. Raises StartFailed when the port is not available.
    """
    with shared_port(settings.host, settings.port) as port, TemporaryDirectory(prefix="titan-") as folder:
        settings = msgspec.structs.replace(settings, port=port)
        children = [ChildArguments(settings, number, folder, dict(sources)) for number in range(settings.processes)]
        return await _Brokers([_Broker(arguments) for arguments in children], is_hung_up, notifier).run(on_ready)


class _Brokers:
    """All broker processes."""

    def __init__(self, brokers: list["_Broker"], is_hung_up: Callable[[], bool], notifier: ServiceNotifier) -> None:
        self._brokers = brokers
        self._is_hung_up = is_hung_up
        self._notifier = notifier

    async def run(self, on_ready: Callable[[Ready], None]) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        first, *others = self._brokers
        ready = [await first.start()]  # alone, so that an error is reported once
        if ready[0] is not None:
            ready += await asyncio.gather(*(broker.start() for broker in others))
        if ready[0] is not None and None not in ready:
            on_ready(ready[0])
            async with self._notifier.serving(ready[0].url):
                await self._keep()
        elif first.is_stopping:
            await self._keep()
        else:
            self._stop()
            await self._end()
            return 1
        return await self._end()

    async def _keep(self) -> None:
        await asyncio.gather(*(broker.keep() for broker in self._brokers))

    def _stop(self) -> None:
        self._notifier.stopping()
        for broker in self._brokers:
            broker.stop()

    def _hang_up(self) -> None:
        if self._is_hung_up():
            _log.warning("the terminal is closed: stopping")
            self._stop()
            return
        for broker in self._brokers:
            broker.send(signal.SIGHUP)

    async def _end(self) -> int:
        codes = await asyncio.gather(*(broker.end() for broker in self._brokers))
        return 1 if any(codes) else 0


class _Broker:
    """One broker process, with all its starts."""

    def __init__(self, arguments: ChildArguments) -> None:
        self._arguments = arguments
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._pause_s = FIRST_PAUSE_S
        self._started_at = 0.0

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    async def start(self) -> Ready | None:
        """Start it and wait until it serves. Returns None if it ended before that, or must not start any more."""
        if self._stopping.is_set():
            return None
        self._started_at = time.monotonic()
        argv = (sys.executable, "-m", "broker.cli.child")
        self._process = started = await asyncio.create_subprocess_exec(
            *argv,
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,  # signals of a terminal reach only this process, which forwards them
        )
        if started.stdin is None or started.stdout is None:
            raise RuntimeError("a process without pipes")
        started.stdin.write(msgspec.json.encode(self._arguments) + b"\n")
        if self._stopping.is_set():  # `stop` was called during the start
            self.send(signal.SIGTERM)
        line = await started.stdout.readline()
        return msgspec.json.decode(line, type=Ready) if line else None

    async def keep(self) -> None:
        """Start it again each time that it ends, until `stop`."""
        while self._process is not None:
            code = await self._process.wait()
            if self.is_stopping:
                return
            if time.monotonic() - self._started_at > LONGEST_PAUSE_S:
                self._pause_s = FIRST_PAUSE_S
            how = signal.Signals(-code).name if code < 0 else f"code {code}"
            name = f"broker {self._arguments.number} (process {self._process.pid})"
            _log.error("%s ended with %s; it is started again in %g s", name, how, self._pause_s)
            await self._wait()
            if await self.start() is not None:
                _log.warning("broker %d is back as process %d", self._arguments.number, self._process.pid)

    def stop(self) -> None:
        """Let it drain and end, and do not start it again."""
        self._stopping.set()
        self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def end(self) -> int:
        """Wait until it has ended after `stop`, or kill it. Returns 0 if it ended as requested."""
        if self._process is None:
            return 0
        try:
            async with asyncio.timeout(self._arguments.settings.shutdown_grace_s + _KILL_AFTER_S):
                code = await self._process.wait()
        except TimeoutError:
            _log.error("broker %d did not end in time and is killed", self._arguments.number)
            self._process.kill()
            return await self._process.wait()
        return 0 if code in {0, -signal.SIGTERM} else code

    async def _wait(self) -> None:
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, LONGEST_PAUSE_S)
        try:
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()
        except TimeoutError:
            return


@contextmanager
def shared_port(host: str, port: int) -> Iterator[int]:
    """Reserve a port for processes of this user that listen with SO_REUSEPORT. 0 selects a free port.

    The port is bound, so that no other program gets it, but this process does not listen on it. Raises StartFailed when
    another program listens there, or the address is not of this machine.
    """
    with ExitStack() as stack:
        try:
            for family, _, _, _, address in socket.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            ):
                with _bound(family, (address[0], port, *address[2:]), socket.SO_REUSEADDR):
                    pass  # without SO_REUSEPORT, so that it fails if another broker still uses the port
                reserved = stack.enter_context(_bound(family, (address[0], port, *address[2:]), socket.SO_REUSEPORT))
                port = reserved.getsockname()[1]
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise StartFailed(f"Cannot listen on {host}:{port}: {reason}.") from error
        yield port


@contextmanager
def _bound(family: int, address: tuple[object, ...], option: int) -> Iterator[socket.socket]:
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, option, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        yield bound
