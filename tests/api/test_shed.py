"""A broker with more to do than it can."""

import asyncio

import pytest

from broker.core.errors import StoreUnavailable
from broker.core.settings import BrokerSettings
from broker.http.app import DISPATCHER
from broker.http.routes import ROUTES
from broker.http.server import admission as sheds
from tests.api.client import Http
from tests.stores import Store
from tests.system.walk import walk

ROOM = 2 * len(ROUTES)
ALWAYS = {"log", "read_log", "watch", "listen", "healthz", "readyz", "metrics", "openapi", "stream_check"}
ENDING = {"start", "touch", "succeed", "fail", "release", "finish", "touch_many", "announce"}
"""The verbs that are never refused as too many, and those that are at twice the bound only."""


@pytest.fixture
def settings() -> BrokerSettings:
    """One request in progress at most."""
    return BrokerSettings(max_in_progress=1)


@pytest.fixture
def slow(store: Store, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Enqueue takes until this is set."""
    go_on = asyncio.Event()
    enqueue = store.enqueuer.enqueue

    async def wait(*arguments):
        await go_on.wait()
        return await enqueue(*arguments)

    monkeypatch.setattr(store.enqueuer, "enqueue", wait)
    return go_on


JOB = {"jobs": [{"image": "x"}]}


async def test_requests_wait_their_turn(http: Http, slow: asyncio.Event) -> None:
    """Requests over the limit wait, and are answered as soon as there is room."""
    enqueues = [asyncio.create_task(http("POST", "/v1/groups/g/jobs", JOB)) for _ in range(5)]
    while "titan_requests_waiting 4.0\n" not in (await http("GET", "/metrics")).text:
        await asyncio.sleep(0.001)
    slow.set()
    assert [(await enqueue).status for enqueue in enqueues] == [201] * 5
    assert "titan_requests_in_progress 0.0\n" in (await http("GET", "/metrics")).text


async def test_requests_are_refused_in_the_end(
    http: Http, slow: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waited too long gets a 503 that says when to try again; health, and what ends work, go on meanwhile."""
    monkeypatch.setattr(sheds, "PATIENCE_S", 0.05)
    first = asyncio.create_task(http("POST", "/v1/groups/g/jobs", JOB))
    while "titan_requests_in_progress 1.0\n" not in (await http("GET", "/metrics")).text:
        await asyncio.sleep(0.001)
    refused = await http("POST", "/v1/groups/g/jobs", JOB)
    assert (refused.status, refused.problem.code, refused.headers["Retry-After"]) == (503, "overloaded", "1")
    assert (await http("GET", "/v1/jobs")).status == 503
    assert (await http("POST", "/v1/jobs/touch", {"jobs": [{"group_name": "g", "id": "x" * 16}]})).status == 200
    assert (await http("GET", "/healthz")).status == 200
    slow.set()
    assert (await first).status == 201
    told = (await http("GET", "/metrics")).text
    assert 'titan_requests_total{status="503",verb="enqueue"} 1.0\n' in told
    assert "titan_requests_shed_total 2.0\n" in told


class TestEveryRoute:
    """A request of each route, while others have the room."""

    @pytest.fixture
    def settings(self) -> BrokerSettings:
        """Room for every route at once; on a fake store they wait for each other."""
        return BrokerSettings(max_in_progress=ROOM, store_timeout_s=20)

    @pytest.fixture
    async def job_id(self, http: Http, monkeypatch: pytest.MonkeyPatch) -> str:
        """A job that runs; who finds no room is told so soon."""
        monkeypatch.setattr(sheds, "PATIENCE_S", 0.05)
        [job] = await http.running()
        return str(job["id"])

    async def let_in(self, http: Http, job_id: str, taken: int) -> set[str]:
        """The verbs that are answered while so much room is taken; the others say when to ask again."""
        shed = http.runner.app[DISPATCHER].context.admission
        shed.admit(sheds.SHED_LAST, taken)
        answers = await walk(f"http://{http.address[0]}:{http.address[1]}", job_id)
        shed.leave(taken)
        refused = [answer for answer in answers if answer.status == 503]
        assert [answer for answer in refused if answer.body["error"]["code"] != "overloaded"] == []
        assert all(answer.retry_after == "1" for answer in refused)
        assert shed.in_progress == 0
        return {answer.verb for answer in answers} - {answer.verb for answer in refused}

    async def test_with_room(self, http: Http, job_id: str) -> None:
        """With some room left for each nothing is refused."""
        while (await http("GET", "/v1/overview")).status != 200:
            pass  # the first sweep of the groups has not ended
        assert await self.let_in(http, job_id, 0) == {route.verb for route in ROUTES}

    async def test_at_the_bound(self, http: Http, job_id: str) -> None:
        """With all room taken only those go on that end work, stream, or look after the broker."""
        assert await self.let_in(http, job_id, ROOM) == ENDING | ALWAYS

    async def test_at_twice_the_bound(self, http: Http, job_id: str) -> None:
        """With twice the room taken what ends work is refused too."""
        assert await self.let_in(http, job_id, 2 * ROOM) == ALWAYS


async def test_requests_in_line_hear_of_a_store_that_is_away(
    http: Http, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the store fails a request, those behind it are answered too, in the time of one call and not one by one."""
    monkeypatch.setattr(sheds, "AWAY_PATIENCE_S", 0)
    fail = asyncio.Event()

    async def away(*_: object) -> None:
        await fail.wait()
        raise StoreUnavailable(retry_after_s=1)

    monkeypatch.setattr(store.enqueuer, "enqueue", away)
    enqueues = [asyncio.create_task(http("POST", "/v1/groups/g/jobs", JOB)) for _ in range(5)]
    while "titan_requests_waiting 4.0\n" not in (await http("GET", "/metrics")).text:
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
