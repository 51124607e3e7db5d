"""Heartbeats of workers, and the orders quiet, resume and drain."""

import json

import pytest

from broker.core.errors import Invalid, NotFound
from broker.http.request.context import Call
from broker.http.request.decoding import decode
from broker.models.workers import Announcement, Orders
from tests.worker.conftest import Work, enqueue
from worker.client import Client
from worker.daemon.loops.announce import AnnounceLoop


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers announce themselves many times a second."""
    monkeypatch.setattr("worker.daemon.loops.announce.EVERY_S", 0.05)


async def says(client: Client, **wanted: object) -> None:
    """Wait until the worker w1 says this of itself."""
    for _ in range(500):
        try:
            worker = await client.worker("w1")
        except NotFound:
            continue
        if all(getattr(worker, name) == value for name, value in wanted.items()):
            return
    pytest.fail(f"w1 did not say {wanted}: {worker}")


async def test_a_worker_is_known_while_it_runs(client: Client, work: Work) -> None:
    """A worker is on the list with what it runs, and off it when it has stopped."""
    (job,) = await enqueue(client, "hang")
    worker = work("hang=sleep 60", name="w1", concurrency=3, grace_s=0.1)
    await worker.until("started", job)
    await says(client, busy=1, running=[job.id], slots=3, state="working", runner="process")
    await says(client, groups=[], images=["hang"])
    assert await worker.end() == 0
    assert await client.workers() == ([], "")


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The broker is one that does not know `groups` and `images`; the list gets what it refused."""
    refused: list[str] = []

    async def older_body(call: Call, kind: type) -> object:
        raw = await call.read_body()
        found = {"groups", "images"} & json.loads(raw or "{}").keys() if kind is Announcement else set()
        if found:
            refused.extend(found)
            raise Invalid("groups is not known.", fields=min(found))
        return decode(kind, raw)

    monkeypatch.setattr(Call, "body", older_body)
    return refused


async def test_a_broker_that_is_older(client: Client, work: Work, older: list[str]) -> None:
    """A worker is known at a broker that refuses the newer fields, with all others, and gets its orders."""
    worker = work("quick=true", name="w1")
    await says(client, state="working", images=[], runner="process")
    await client.order("w1", "drain")
    assert await worker.task == 0
    assert older
    assert await client.workers() == ([], "")


async def test_quiet_and_resume(client: Client, work: Work) -> None:
    """A quiet worker takes nothing, not even with its waiting poll; after resume it takes the queued jobs."""
    worker = work("quick=true", name="w1", wait_s=20)
    await says(client, state="working")
    await client.order("w1", "quiet")
    await says(client, state="quiet", order=Orders().order)
    (job,) = await enqueue(client, "quick")
    await says(client, state="quiet")
    assert (await client.show("g", job.id)).status == "queued"
    await client.order("w1", "resume")
    await worker.until("reported", job)


async def test_drain(client: Client, work: Work) -> None:
    """A worker with the order drain stops as after SIGTERM: running jobs may end."""
    (job,) = await enqueue(client, "short")
    worker = work("short=sleep 0.3", name="w1")
    await worker.until("started", job)
    await says(client, state="working")
    await client.order("w1", "drain")
    assert await worker.task == 0
    assert (await client.show("g", job.id)).status == "succeeded"


async def test_an_order_is_carried_out_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order that is repeated, since the report of it was lost, is not carried out again."""
    done: list[str] = []
    loop = AnnounceLoop(client, lambda: Announcement(name="w1", host="h"), done.append, lambda _: None)

    async def tells(*_: object) -> Orders:
        return Orders(number=7, order="quiet")

    monkeypatch.setattr(Client, "announce", tells)
    await loop.announce_once()
    await loop.announce_once()
    assert done == ["quiet"]


async def test_a_second_worker_with_the_name_of_another(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """It says once that there is another one. A worker whose name was used by one that is gone says nothing."""

    def worker(host: str, since: str) -> AnnounceLoop:
        said = Announcement(name="w1", host=host, since=since)
        return AnnounceLoop(client, lambda: said, lambda _: None, lambda _: None)

    gone, first, second = worker("old", "2026-01-01"), worker("one", "2026-01-02"), worker("two", "2026-01-03")
    await gone.announce_once()
    for _ in range(5):
        await first.announce_once()
    assert not caplog.messages
    for _ in range(3):
        await second.announce_once()
        await first.announce_once()
    (said,) = caplog.messages
    assert said.startswith("another worker, on one, has the name w1 too: ")


async def test_a_broker_that_knows_no_workers(client: Client, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker without a list of workers, or one that refuses to have this one on it, still gives it jobs."""

    async def refuses(*_: object) -> Orders:
        raise NotFound

    monkeypatch.setattr(Client, "announce", refuses)
    (job,) = await enqueue(client, "quick")
    worker = work("quick=true")
    await worker.until("reported", job)
    assert await worker.end() == 0
