"""A broker with more to do than it can."""

import asyncio

import pytest

from broker.api import shed as sheds
from broker.config import BrokerSettings
from broker.errors import StoreUnavailable
from broker.store import Store
from tests.api.client import Http


@pytest.fixture
def settings() -> BrokerSettings:
    """One request in progress at most."""
    return BrokerSettings(max_in_progress=1)


@pytest.fixture
def slow(store: Store, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Enqueue takes until this is set."""
    go_on = asyncio.Event()
    enqueue = store.enqueue_encoded

    async def wait(*arguments):
        await go_on.wait()
        return await enqueue(*arguments)

    monkeypatch.setattr(store, "enqueue_encoded", wait)
    return go_on


JOB = {"jobs": [{"image": "x"}]}


async def test_requests_wait_their_turn(http: Http, slow: asyncio.Event) -> None:
    """Requests over the limit wait, and are answered as soon as there is room."""
    enqueues = [asyncio.create_task(http("POST", "/v1/groups/g/jobs", JOB)) for _ in range(5)]
    while "titan_requests_waiting 4\n" not in (await http("GET", "/metrics")).text:
        await asyncio.sleep(0.001)
    slow.set()
    assert [(await enqueue).status for enqueue in enqueues] == [201] * 5
    assert "titan_requests_in_progress 0\n" in (await http("GET", "/metrics")).text


async def test_requests_are_refused_in_the_end(
    http: Http, slow: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waited too long gets a 503 that says when to try again; health, and what ends work, go on meanwhile."""
    monkeypatch.setattr(sheds, "PATIENCE_S", 0.05)
    first = asyncio.create_task(http("POST", "/v1/groups/g/jobs", JOB))
    while "titan_requests_in_progress 1\n" not in (await http("GET", "/metrics")).text:
        await asyncio.sleep(0.001)
    refused = await http("POST", "/v1/groups/g/jobs", JOB)
    assert (refused.status, refused.problem.code, refused.headers["Retry-After"]) == (503, "overloaded", "1")
    assert (await http("GET", "/v1/jobs")).status == 503
    assert (await http("POST", "/v1/jobs/touch", {"jobs": [{"group_name": "g", "id": "x" * 16}]})).status == 200
    assert (await http("GET", "/healthz")).status == 200
    slow.set()
    assert (await first).status == 201
    told = (await http("GET", "/metrics")).text
    assert 'titan_requests_total{verb="enqueue",status="503"} 1\n' in told
    assert "titan_requests_shed_total 2\n" in told


async def test_requests_in_line_hear_of_a_store_that_is_away(
    http: Http, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the store fails a request, those behind it are answered too, in the time of one call and not one by one."""
    monkeypatch.setattr(sheds, "AWAY_PATIENCE_S", 0)
    fail = asyncio.Event()

    async def away(*_: object) -> None:
        await fail.wait()
        raise StoreUnavailable(retry_after_s=1)

    monkeypatch.setattr(store, "enqueue_encoded", away)
    enqueues = [asyncio.create_task(http("POST", "/v1/groups/g/jobs", JOB)) for _ in range(5)]
    while "titan_requests_waiting 4\n" not in (await http("GET", "/metrics")).text:
        await asyncio.sleep(0.001)
    fail.set()
    told = [await enqueue for enqueue in enqueues]
    assert [(reply.status, reply.problem.code, reply.headers["Retry-After"]) for reply in told] == [
        (503, "store_unavailable", "1")
    ] * 5
    assert sum("nothing was done" in reply.problem.message for reply in told) == 4


async def test_long_polls_take_no_room(http: Http) -> None:
    """Clients that wait for a job, or are slow to send a body, are no reason to refuse others."""
    polls = [asyncio.create_task(http("GET", "/v1/jobs?wait=30")) for _ in range(5)]
    reply = await http("POST", "/v1/groups/g/jobs", {"jobs": [{"image": "x"}] * 5})
    assert reply.status == 201
    assert [(await poll).status for poll in polls] == [200] * 5
