"""A broker in a thread, over fakeredis, for tests of commands that talk to one; and how commands are run."""

import asyncio
import json
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import fakeredis
import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from broker.cli import main
from broker.core.settings import BrokerSettings
from broker.http.app import Broker, make_app
from broker.logs.storage import open_logs
from broker.resp.notifier import Notifier
from tests.stores import Store


class BrokerThread:
    """The broker's application on a free port. Started again, it has the same port and the same jobs."""

    def __init__(self, folder: Path) -> None:
        self.port = 0
        self._folder = folder
        self._server = fakeredis.FakeServer()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen."""
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        if not self._started.wait(10):
            pytest.fail("the broker did not start")

    def flush(self) -> None:
        """Write the counts of the statistics now."""
        assert asyncio.run_coroutine_threadsafe(self._store.counts.flush(), self._loop).result(10)

    def reap(self, seconds: float) -> None:
        """Run the reaper as if this number of seconds had passed."""
        assert asyncio.run_coroutine_threadsafe(self._reap(seconds), self._loop).result(10) is None

    def settle(self) -> None:
        """Settle the ends of jobs, and create what follows from them."""
        assert asyncio.run_coroutine_threadsafe(self._settle(), self._loop).result(10) is None

    async def _settle(self) -> None:
        while (await self._store.maintenance.settle(100)).n:
            pass

    async def _reap(self, seconds: float) -> None:
        self._store.now = str(int((time.time() + seconds) * 1000))
        await self._store.reap(1000)
        self._store.now = ""

    def stop(self) -> None:
        """Listen no more."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self._application() as app:
            runner = web.AppRunner(app, handler_cancellation=True, auto_decompress=False, shutdown_timeout=1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            self.port = runner.addresses[0][1]
            self._started.set()
            await self._stop.wait()
            await runner.cleanup()

    @asynccontextmanager
    async def _application(self) -> AsyncIterator[web.Application]:
        settings = BrokerSettings()
        async with self._client() as redis, self._client() as listener:
            store = self._store = Store(redis, settings, is_plain=True)
            await store.open()
            async with Notifier(listener, store.partitions) as notifier:
                logs = open_logs(str(self._folder), settings.max_log_bytes)
                events = asyncio.create_task(store.events.run())
                yield make_app(Broker(store, logs, notifier, settings))
                events.cancel()

    def _client(self) -> fakeredis.FakeAsyncRedis:
        return fakeredis.FakeAsyncRedis(server=self._server, version=(7,))


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def first(self) -> str:
        """The first word that it printed."""
        return self.out.split()[0]

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


class Titan:
    """Runs `titan` inside the test's process."""

    def __init__(self, broker_url: str) -> None:
        self.broker_url = broker_url

    def __call__(self, *words: str, stdin: str | bytes = "", **environment: str) -> Ran:
        """Run a command to its end, whatever the end."""
        environment.setdefault("TITAN_BROKER_URL", self.broker_url)
        result: Result = CliRunner().invoke(main, words, input=stdin, env=environment, catch_exceptions=False)
        return Ran(result.exit_code, result.stdout, result.stderr)

    def process(self, *words: str, environment: Mapping[str, str] = {}, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command as a process of its own, its output piped."""
        environment = os.environ | {"TITAN_BROKER_URL": self.broker_url} | environment
        argv = [sys.executable, "-m", "broker", *words]
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen(argv, env=environment, text=False, **(pipes | options))

    def on_terminal(self, *words: str, columns: int = 80, **environment: str) -> str:
        """What a command shows on a terminal, stdout and stderr alike, until it ends."""
        ours, theirs = pty.openpty()
        shown = b""
        kinds = {"TERM": "xterm", "COLUMNS": str(columns)} | environment
        process = self.process(*words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, environment=kinds)
        with process:
            os.close(theirs)
            while piece := _read(ours):
                shown += piece
            process.wait(30)
        os.close(ours)
        return shown.decode()

    def made(self, group: str, *words: str) -> str:
        """The id of a new job."""
        ran = self("job", "enqueue", group, "--image", "hello", *words)
        assert ran.code == 0, ran.err
        return ran.first

    def taken(self, group: str) -> dict[str, Any]:
        """A job of the group that is running now."""
        return dict(self("job", "next", "--group", group, "--json").json["jobs"][0])


def _read(terminal: int) -> bytes:
    """The next bytes; none at the end, which Linux says with an error."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""
