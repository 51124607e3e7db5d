"""How soon a worker hears of a cancelled job and of orders, however long its leases are."""

import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from broker.http.app import Broker
from broker.models.jobs import Job
from broker.models.workers import Announcement, Orders
from broker.resp.client import connect_listener
from broker.resp.notifier import Notifier
from tests.conftest import eventually
from tests.stores import Store
from tests.worker.conftest import Front, Work, Working, enqueue
from tests.worker.programs import Start
from tests.worker.watching import is_dead, written
from worker.client import Client

APP = "tests.worker.app"
SOON_S = 2.0


async def waits(client: Client, store: Store) -> None:
    """Return when a worker waits for news, and the broker has looked for some since."""
    await eventually(lambda: store.workers.notices.is_awaited)
    await client.workers()


async def soon(worker: Working, job: Job) -> None:
    """Within two seconds the worker ends a job that is no longer to run."""
    begun = time.monotonic()
    await worker.until("dropped", job)
    assert time.monotonic() - begun < SOON_S


@pytest.fixture
async def other(front: Front, store: Store) -> AsyncIterator[Client]:
    """A client of another broker on the same store."""
    broker = front.broker
    own = Store(store.redis, broker.settings, is_plain=True)
    async with Notifier(connect_listener(store.redis), own.partitions) as notifier:
        second = Front(Broker(own, broker.logs, notifier, broker.settings))
        await second.start()
        async with Client(second.url) as client:
            yield client
        await second.stop()


@pytest.mark.parametrize("lease_s", [30, 300])
async def test_a_cancel_reaches_the_process(
    client: Client, store: Store, start: Start, tmp_path: Path, lease_s: int
) -> None:
    """Two seconds after a cancel the command is gone, though its lease is not touched for long."""
    (job,) = await enqueue(client, "hang", timeout=600)
    await start(
        "--run", f"hang=sh -c 'echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; exec sleep 600'",
        "--lease-s", str(lease_s),
    )  # fmt: skip
    pid = int(await written(tmp_path / "pid"))
    await waits(client, store)
    begun = time.monotonic()
    await client.cancel("g", job.id)
    await eventually(lambda: is_dead(pid))
    assert time.monotonic() - begun < SOON_S


async def test_a_cancel_at_another_broker(client: Client, other: Client, work: Work, store: Store) -> None:
    """It does not matter at which broker of the store a job is cancelled."""
    (job,) = await enqueue(client, "hang", timeout=600)
    worker = work("hang=sleep 600", lease_s=300, name="w1")
    await worker.until("started", job)
    await waits(client, store)
    await other.cancel("g", job.id)
    await soon(worker, job)


async def test_a_cancel_of_one_among_very_many(client: Client, work: Work, store: Store) -> None:
    """A worker that runs more jobs than it names to the broker hears of each; the others continue."""
    jobs = await enqueue(client, *["hangs"] * 150, timeout=600)
    worker = work(app=(APP,), concurrency=150, lease_s=300, name="w1")
    await worker.until("started", *jobs)
    await waits(client, store)
    for job in (jobs[0], jobs[149]):
        await client.cancel("g", job.id)
        await soon(worker, job)
    assert worker.count("dropped") == 2


async def test_cancels_that_were_missed(client: Client, work: Work, front: Front, store: Store) -> None:
    """A worker that comes to another broker, or to one that was away, hears of what was cancelled meanwhile."""
    jobs = await enqueue(client, "hangs", "hangs", timeout=600)
    worker = work(app=(APP,), lease_s=300, name="w1")
    await worker.until("started", *jobs)
    await waits(client, store)
    await front.stop()
    await store.cancel("g", jobs[1].id)
    front.broker = front.broker._replace(store=Store(store.redis, front.broker.settings, is_plain=True))
    await front.start()
    await worker.until("dropped", jobs[1])
    assert worker.count("dropped") == 1


async def test_a_cancel_at_an_older_broker(client: Client, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that knows of no waiting answers at once: then a touch tells, and the worker asks as seldom as ever."""
    asked: list[float] = []
    announce = Client.announce

    async def answers_at_once(self: Client, worker: Announcement, *_: object) -> Orders:
        asked.append(time.monotonic())
        return await announce(self, worker)

    monkeypatch.setattr(Client, "announce", answers_at_once)
    (job,) = await enqueue(client, "hangs", timeout=600)
    worker = work(app=(APP,), lease_s=1)
    await worker.until("started", job)
    await client.cancel("g", job.id)
    await worker.until("dropped", job)
    assert len(asked) <= 2


@pytest.mark.parametrize("order", ["quiet", "drain"])
async def test_an_order_is_heard(client: Client, work: Work, store: Store, order: str) -> None:
    """Two seconds after an order the worker says that it is carried out, or has stopped."""
    worker = work("hang=sleep 600", lease_s=300, wait_s=20, name="w1")
    await waits(client, store)
    begun = time.monotonic()
    await client.order("w1", order)  # type: ignore[arg-type]  # one of the words
    states: Sequence[str] = ["working"]
    while states == ["working"]:
        states = [one.state for one in (await client.workers())[0]]
    assert time.monotonic() - begun < SOON_S
    assert states in ([], ["quiet"], ["draining"])
    assert order == "quiet" or await worker.task == 0
