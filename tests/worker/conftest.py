"""A broker on the in-memory store that can go away and come back, and workers that run in the test's own loop."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import web

from broker.core.settings import BrokerSettings
from broker.http.app import Broker, make_app
from broker.http.server.runner import BrokerRunner
from broker.logs.storage import open_logs
from broker.models.jobs import Job, NewJob
from broker.resp.client import connect_listener
from broker.resp.notifier import Notifier
from tests.stores import Store
from tests.worker.containers import Running
from tests.worker.podman import Podman, missing, podman
from tests.worker.programs import Start, programs
from worker.client import Client
from worker.daemon.daemon import run_worker
from worker.daemon.deliveries import Event
from worker.settings import WorkerSettings

Kind = Literal["started", "ended", "reported", "refused", "dropped", "logged"]


class Front:
    """A broker's HTTP side, on the same port each time that it starts."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.port = 0
        self._runner: BrokerRunner | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen."""
        settings = self.broker.settings
        self._runner = BrokerRunner(make_app(self.broker), settings, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Be gone: connections end, new ones are refused."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


class Working:
    """A worker that runs: what happened in it, and how to stop it."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.stop = asyncio.Event()
        self.events: list[Event] = []
        self._happened = asyncio.Event()
        self.task = asyncio.create_task(run_worker(settings, stop=self.stop, on_event=self._note))

    async def until(self, kind: Kind, *jobs: Job) -> list[Event]:
        """Wait until this has happened to all of these jobs; the events, in the order of the jobs."""
        async with asyncio.timeout(30):
            while not all(self._of(kind, job) for job in jobs):
                await self._happened.wait()
                self._happened.clear()
        return [self._of(kind, job)[0] for job in jobs]

    async def end(self) -> int:
        """Stop it; its exit code."""
        self.stop.set()
        async with asyncio.timeout(10):
            return await self.task

    def count(self, kind: Kind) -> int:
        """How often this happened."""
        return sum(event.kind == kind for event in self.events)

    def _of(self, kind: Kind, job: Job) -> list[Event]:
        return [event for event in self.events if event.kind == kind and event.job.id == job.id]

    def _note(self, event: Event) -> None:
        self.events.append(event)
        self._happened.set()


Work = Callable[..., Working]


@pytest.fixture
def backend() -> str:
    """A worker sees no difference between stores: the fast one will do."""
    return "fake"


@pytest.fixture
async def front(store: Store, settings: BrokerSettings, tmp_path: Path) -> AsyncIterator[Front]:
    """A broker that serves."""
    logs = open_logs(str(tmp_path / "logs"), settings.max_log_bytes)
    async with Notifier(connect_listener(store.redis), store.partitions) as notifier:
        front = Front(Broker(store, logs, notifier, settings))
        await front.start()
        yield front
        await front.stop()


@pytest.fixture
async def client(front: Front) -> AsyncIterator[Client]:
    """A producer."""
    async with Client(front.url) as client:
        yield client


@pytest.fixture
async def work(front: Front) -> AsyncIterator[Work]:
    """Starts workers, with short times; they are gone at the end of the test."""
    async with AsyncExitStack() as stack:

        def start(*run: str, **options: Any) -> Working:
            defaults = {"broker_url": (front.url,), "wait_s": 1, "lease_s": 1, "grace_s": 5.0, "kill_after_s": 0.1}
            working = Working(WorkerSettings(run=run, **(defaults | options)))
            stack.push_async_callback(_end, working)
            return working

        yield start


@pytest.fixture
async def start(front: Front) -> AsyncIterator[Start]:
    """Starts workers as programs."""
    async with programs(front.url) as start:
        yield start


@pytest.fixture(scope="module")
def engine() -> Iterator[Podman]:
    """A container engine. Where it cannot be the tests are skipped; in CI they fail."""
    why = missing()
    if why and "CI" in os.environ:
        pytest.fail(why)
    if why:
        pytest.skip(why)
    with podman() as engine:
        yield engine


@pytest.fixture
async def containers(engine: Podman) -> AsyncIterator[Running]:
    """The runner; afterwards the engine has no container."""
    running = Running(engine.address)
    yield running
    await running.runner.aclose()
    for log in running.logs:
        log.close()
    assert engine("ps", "--all", "--quiet") == ""


async def read_log(client: Client, job: Job) -> bytes:
    """The whole log of a job."""
    return b"".join([piece async for piece in client.read_log(job.group_name, job.id)])


async def enqueue(client: Client, *images: str, **fields: int | str) -> list[Job]:
    """New jobs of these images."""
    return await client.enqueue("g", [NewJob(image=image, **fields) for image in images])


async def _end(working: Working) -> None:
    working.task.cancel()
    await asyncio.gather(working.task, return_exceptions=True)
