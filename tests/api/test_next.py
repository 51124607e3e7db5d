"""next: the one GET that changes something, and its long poll."""

import asyncio
import time
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import web

from broker.core.errors import StoreUnavailable
from broker.core.timestamps import milliseconds
from broker.http import long_poll
from broker.http.responses import delivered
from broker.http.server.pending_response import PendingResponse
from broker.resp.notifier import Notifier
from tests.api.client import Http
from tests.conftest import eventually
from tests.stores import Store


class WatchedNext:
    """Between the store and its scripts: says that next was asked and has taken, and answers when it may."""

    def __init__(self, store: Store) -> None:
        self.run = store._partitions.run
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, verb: str, partition: str, *arguments: Any) -> Any:
        reply = await self.run(verb, partition, *arguments)
        if verb.startswith("next"):
            self.is_asked.set()
            await self.may_answer.wait()
        return reply


@pytest.fixture
def watched(store: Store, monkeypatch: pytest.MonkeyPatch) -> WatchedNext:
    """The store's next, watched."""
    watched = WatchedNext(store)
    monkeypatch.setattr(store._partitions, "run", watched)
    return watched


async def _hang_up_once(http: Http, path: str, event: asyncio.Event, headers: str = "") -> None:
    """Send a GET and close the connection at an event; returns when the handler has ended."""
    server = http.runner.server
    assert server is not None
    before = len(server.connections)
    async with http.line(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()):
        await event.wait()
    await eventually(lambda: len(server.connections) == before)


async def test_next_in_order(http: Http) -> None:
    """Higher priorities come first, then first in, first out; nobody may keep the answer."""
    jobs = await http.enqueue({}, {"priority": 2}, {"priority": 1}, {})
    reply = await http("GET", "/v1/jobs?n=10")
    assert reply.headers["Cache-Control"] == "no-store"
    assert [job["id"] for job in reply.json["jobs"]] == [jobs[i]["id"] for i in (1, 2, 0, 3)]
    assert all(job["status"] == "running" and job["lease"] and job["deliveries"] == 1 for job in reply.json["jobs"])


async def test_next_of_nothing(http: Http) -> None:
    """Without a job and without wait, the answer is an empty list at once."""
    assert (await http("GET", "/v1/jobs")).json == {"jobs": []}


async def test_next_of_one_when_n_is_not_given(http: Http) -> None:
    """One job is handed out unless n says more."""
    await http.enqueue({}, {})
    assert len((await http("GET", "/v1/jobs")).json["jobs"]) == 1


async def test_next_of_groups(http: Http) -> None:
    """Named groups are the only ones asked; naming one twice, or an empty one, does no harm."""
    for group in "abc":
        await http.enqueue(group=group)
    reply = await http("GET", "/v1/jobs?n=9&group=a&group=c&group=a&group=")
    assert [job["group_name"] for job in reply.json["jobs"]] == ["a", "c"]


async def test_next_with_a_short_lease(http: Http) -> None:
    """`lease` is the length of the lease in the place of the job's timeout."""
    await http.enqueue({"timeout": 3600})
    [job] = (await http("GET", "/v1/jobs?lease=30")).json["jobs"]
    assert job["timeout"] == 3600
    assert milliseconds(job["expires_at"]) - milliseconds(job["started_at"]) == 30_000


async def test_next_that_waits_is_woken(http: Http, watched: WatchedNext, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long poll gets a job as soon as it is enqueued, not when it next looks by itself."""
    monkeypatch.setattr(long_poll, "SLOW_POLL_S", 20)
    began = time.monotonic()
    waiting = asyncio.create_task(http("GET", "/v1/jobs?wait=20&group=g"))
    await watched.is_asked.wait()
    [job] = await http.enqueue()
    assert (await waiting).json["jobs"][0]["id"] == job["id"]
    assert time.monotonic() - began < 10


async def test_next_that_waits_looks_by_itself(
    http: Http, watched: WatchedNext, notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that became ready unheard is found by the slow look."""
    monkeypatch.setattr(long_poll, "SLOW_POLL_S", 0.05)
    monkeypatch.setattr(notifier, "wake", lambda *_: None)
    began = time.monotonic()
    waiting = asyncio.create_task(http("GET", "/v1/jobs?wait=20"))
    await watched.is_asked.wait()
    [job] = await http.enqueue()
    assert (await waiting).json["jobs"][0]["id"] == job["id"]
    assert time.monotonic() - began < 10


async def test_next_that_waits_in_vain(http: Http) -> None:
    """After `wait` seconds the answer is an empty list."""
    began = time.monotonic()
    assert (await http("GET", "/v1/jobs?wait=1")).json == {"jobs": []}
    assert 0.9 < time.monotonic() - began < 5


async def test_next_that_waits_at_a_stop(http: Http, watched: WatchedNext, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the broker stops, those who wait are answered with an empty list at once, and nobody waits any more."""
    monkeypatch.setattr(long_poll, "SLOW_POLL_S", 20)
    waiting = asyncio.create_task(http("GET", "/v1/jobs?wait=30"))
    await watched.is_asked.wait()
    await http.runner.app.shutdown()
    async with asyncio.timeout(5):
        assert (await waiting).json == {"jobs": []}
        assert (await http("GET", "/v1/jobs?wait=30")).json == {"jobs": []}


async def test_next_of_a_client_gone_while_it_waits(http: Http, store: Store, watched: WatchedNext) -> None:
    """A waiting client that hung up takes no job."""
    await _hang_up_once(http, "/v1/jobs?wait=30", watched.is_asked)
    [job] = await http.enqueue()
    assert (await store.show("g", job["id"])).status == "queued"


async def test_next_of_a_client_gone_while_the_store_answers(http: Http, store: Store, watched: WatchedNext) -> None:
    """Jobs that the store hands out to a client that hung up go back to their places, uncounted."""
    jobs = await http.enqueue({}, {}, {})
    watched.may_answer.clear()
    await _hang_up_once(http, "/v1/jobs?n=2", watched.is_asked)
    watched.may_answer.set()
    await http.runner.app.cleanup()
    again = await store.next(3)
    assert [job.id for job in again] == [job["id"] for job in jobs]
    assert [job.deliveries for job in again] == [1, 1, 1]


async def test_next_of_a_client_gone_before_the_answer_is_written(
    http: Http, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs whose answer meets a closed connection go back to their places, uncounted."""
    is_cut = asyncio.Event()
    fill, prepare = PendingResponse.fill, web.Response.prepare

    def fill_on_a_cut_line(pending: PendingResponse, *answer: Any) -> None:
        pending._connection.transport.abort()
        is_cut.set()
        fill(pending, *answer)

    async def prepare_on_a_cut_line(response: web.Response, request: Any) -> Any:
        request.transport.abort()
        is_cut.set()
        return await prepare(response, request)

    for headers in ("", "Connection: close\r\n"):
        [job] = await http.enqueue()
        with monkeypatch.context() as patch:
            patch.setattr(PendingResponse, "fill", fill_on_a_cut_line)
            patch.setattr(web.Response, "prepare", prepare_on_a_cut_line)
            is_cut.clear()
            await _hang_up_once(http, "/v1/jobs", is_cut, headers)
        await store.settle()
        kept = await store.show("g", job["id"])
        assert (kept.status, kept.deliveries) == ("queued", 0)
        await store.cancel("g", job["id"])


@pytest.mark.parametrize("is_ready", [True, False])
def test_an_answer_whose_client_is_gone_is_undone(*, is_ready: bool) -> None:
    """An answer that waits for its turn when the client leaves, and one that comes after that, are undone once."""
    undone: list[bool] = []
    pending = PendingResponse(Mock())
    answer = delivered(b"[]", lambda: undone.append(True))
    if is_ready:
        pending.fill(answer, None)
    pending.abandon()
    if not is_ready:
        pending.fill(answer, None)
    assert undone == [True]


async def test_next_of_a_client_that_reads_nothing(http: Http, store: Store) -> None:
    """A large answer that the client leaves half unread when it hangs up was not delivered: its jobs go back."""
    payload = "x" * 500_000
    jobs = [job for _ in range(3) for job in await http.enqueue(*[{"payload": payload}] * 10)]
    is_full = asyncio.Event()
    asyncio.get_running_loop().call_later(0.5, is_full.set)
    await _hang_up_once(http, "/v1/jobs?n=30", is_full)
    await http.runner.app.cleanup()
    kept = [await store.show("g", job["id"]) for job in jobs]
    assert {(job.status, job.deliveries) for job in kept} == {("queued", 0)}


async def test_next_of_a_client_gone_while_the_store_is_away(
    http: Http, store: Store, watched: WatchedNext, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Jobs that cannot be given back come back when their lease ends; the log says so."""

    async def away(*_: Any) -> None:
        raise StoreUnavailable

    await http.enqueue()
    monkeypatch.setattr(store._partitions, "run_items", away)
    watched.may_answer.clear()
    await _hang_up_once(http, "/v1/jobs", watched.is_asked)
    watched.may_answer.set()
    await http.runner.app.cleanup()
    assert "1 job of a disconnected client" in caplog.text


async def test_next_image_waits_for_its_image(http: Http) -> None:
    """A poll for an image passes over others, waits, and is answered soon after a job of it comes to a ready group."""
    await http.enqueue({"image": "other"})
    waiting = asyncio.create_task(http("GET", "/v1/jobs?image=mine&image=yours&wait=20"))
    await asyncio.sleep(0.3)  # it has looked, and waits
    begun = time.monotonic()
    await http.enqueue({"image": "mine"})
    assert [job["image"] for job in (await waiting).json["jobs"]] == ["mine"]
    assert time.monotonic() - begun < 1
    assert (await http("GET", "/v1/jobs?image=mine")).json["jobs"] == []
    assert [job["image"] for job in (await http("GET", "/v1/jobs")).json["jobs"]] == ["other"]
