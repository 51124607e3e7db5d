"""`titan broker --processes N`: one parent that watches over N brokers, which share a port and nothing else.

The parent answers no request. Each broker is a process of its own (broker.cli.child) that listens on the port with
SO_REUSEPORT, so the kernel spreads connections over those that are there; one that dies is started again. A broker
whose parent is gone sees its standard input end, and stops.
"""

import asyncio
import logging
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from tempfile import TemporaryDirectory

import msgspec
from msgspec import Struct

from broker.core.settings import BrokerSettings
from broker.service.ports import held_port

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""How long a broker that died waits for its next start: doubled each time, unless it ran for longer than the latter."""
_KILL_AFTER_S = 5.0
"""What a broker gets beyond its grace before it is killed."""

_log = logging.getLogger(__name__)


class Told(Struct, frozen=True):
    """What a broker process is told on its standard input, a line of JSON."""

    settings: BrokerSettings
    number: int
    folder: str


class Ready(Struct, frozen=True):
    """What it says on its standard output once it serves, a line of JSON."""

    url: str
    redis_cli: str


async def serve_many(
    settings: BrokerSettings, say: Callable[[Ready], None], is_hung_up: Callable[[], bool] = lambda: False
) -> int:
    """Run settings.processes brokers until SIGTERM or SIGINT; `say` is told once all serve. The exit code.

    SIGHUP is passed on, or stops them all when `is_hung_up` says that the terminal is closed.

    Raises StartFailed when the port cannot be had.
    """
    with held_port(settings.host, settings.port) as port, TemporaryDirectory(prefix="titan-") as folder:
        settings = msgspec.structs.replace(settings, port=port)
        told = [Told(settings, number, folder) for number in range(settings.processes)]
        return await _Brokers([_Broker(one) for one in told], is_hung_up).run(say)


class _Brokers:
    def __init__(self, brokers: list["_Broker"], is_hung_up: Callable[[], bool]) -> None:
        self._brokers = brokers
        self._is_hung_up = is_hung_up

    async def run(self, say: Callable[[Ready], None]) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        first, *others = self._brokers
        ready = [await first.start()]  # alone: what is wrong is said once
        if ready[0] is not None:
            ready += await asyncio.gather(*(broker.start() for broker in others))
        if ready[0] is not None and None not in ready:
            say(ready[0])
        elif not first.is_stopping:
            self._stop()
            await self._end()
            return 1
        await asyncio.gather(*(broker.keep() for broker in self._brokers))
        return await self._end()

    def _stop(self) -> None:
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
    """One of them, over all its starts."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._pause_s = FIRST_PAUSE_S
        self._started_at = 0.0

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    async def start(self) -> Ready | None:
        """Start it and wait until it serves; None when it ended before that, or must not start any more."""
        if self._stopping.is_set():
            return None
        self._started_at = time.monotonic()
        argv = (sys.executable, "-m", "broker.cli.child")
        self._process = started = await asyncio.create_subprocess_exec(
            *argv,
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,  # what a terminal sends reaches this process alone, which passes it on
        )
        if started.stdin is None or started.stdout is None:
            raise RuntimeError("a process without pipes")
        started.stdin.write(msgspec.json.encode(self._told) + b"\n")
        if self._stopping.is_set():  # told while it was on its way
            self.send(signal.SIGTERM)
        line = await started.stdout.readline()
        return msgspec.json.decode(line, type=Ready) if line else None

    async def keep(self) -> None:
        """Start it again each time that it ends, until it is told to stop."""
        while self._process is not None:
            code = await self._process.wait()
            if self.is_stopping:
                return
            if time.monotonic() - self._started_at > LONGEST_PAUSE_S:
                self._pause_s = FIRST_PAUSE_S
            how = signal.Signals(-code).name if code < 0 else f"code {code}"
            name = f"broker {self._told.number} (process {self._process.pid})"
            _log.error("%s ended with %s; it is started again in %g s", name, how, self._pause_s)
            await self._wait()
            if await self.start() is not None:
                _log.warning("broker %d is back as process %d", self._told.number, self._process.pid)

    def stop(self) -> None:
        """Have it drain and end, and start it no more."""
        self._stopping.set()
        self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def end(self) -> int:
        """Wait until it has ended after `stop`, or kill it; 0 when it went as it should."""
        if self._process is None:
            return 0
        try:
            async with asyncio.timeout(self._told.settings.shutdown_grace_s + _KILL_AFTER_S):
                code = await self._process.wait()
        except TimeoutError:
            _log.error("broker %d did not end in time and is killed", self._told.number)
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
