"""A broker with more to do than it can."""

import asyncio

import pytest

from broker.api import shed as sheds
from broker.api.app import DESK
from broker.api.routes import ROUTES
from broker.config import BrokerSettings
from broker.store import Store
from tests.api.client import Http
from tests.system.walk import walk


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


async def test_every_route_keeps_to_the_bound(http: Http, slow: asyncio.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all room taken, every route is refused, but those that end work, stream, or look after the broker."""
    monkeypatch.setattr(sheds, "PATIENCE_S", 0.05)
    [job] = await _enqueued_before(http, slow)
    first = asyncio.create_task(http("POST", "/v1/groups/g/jobs", JOB))
    while "titan_requests_in_progress 1\n" not in (await http("GET", "/metrics")).text:
        await asyncio.sleep(0.001)
    answers = {answer.verb: answer for answer in await walk(f"http://{http.address[0]}:{http.address[1]}", job)}
    refused = {
        verb
        for verb, answer in answers.items()
        if answer.status == 503 and answer.body["error"]["code"] == "overloaded"
    }
    assert refused == {route.verb for route in ROUTES if sheds.rank_of(route.verb) == sheds.FIRST}
    assert refused >= {"enqueue", "next", "list_jobs", "show", "cancel", "retry", "remove", "configure", "list_groups"}
    assert all(answers[verb].retry_after == "1" for verb in refused)
    slow.set()
    assert (await first).status == 201
    assert "titan_requests_in_progress 0\n" in (await http("GET", "/metrics")).text


async def test_every_route_is_bounded_in_the_end(
    http: Http, slow: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With twice the room taken, what ends work is refused too; logs, health and metrics never are."""
    monkeypatch.setattr(sheds, "PATIENCE_S", 0.05)
    [job] = await _enqueued_before(http, slow)
    front = http.runner.app[DESK].front
    front.shed.admit(sheds.LAST, 2)
    answers = await walk(f"http://{http.address[0]}:{http.address[1]}", job)
    let_in = {answer.verb for answer in answers if answer.status != 503}
    assert let_in == {route.verb for route in ROUTES if sheds.rank_of(route.verb) == sheds.NEVER}
    assert let_in == {"log", "read_log", "healthz", "readyz", "metrics", "openapi"}
    front.shed.leave(2)
    slow.set()
    assert (await http("POST", "/v1/groups/g/jobs", JOB)).status == 201


async def _enqueued_before(http: Http, slow: asyncio.Event) -> list[str]:
    """The id of a job that runs; from now on enqueue is slow."""
    slow.set()
    await http("POST", "/v1/groups/g/jobs", JOB)
    [job] = (await http("GET", "/v1/jobs")).json["jobs"]
    slow.clear()
    return [job["id"]]


async def test_long_polls_take_no_room(http: Http) -> None:
    """Clients that wait for a job, or are slow to send a body, are no reason to refuse others."""
    polls = [asyncio.create_task(http("GET", "/v1/jobs?wait=30")) for _ in range(5)]
    reply = await http("POST", "/v1/groups/g/jobs", {"jobs": [{"image": "x"}] * 5})
    assert reply.status == 201
    assert [(await poll).status for poll in polls] == [200] * 5
