"""announce over HTTP: what a worker is told while it waits."""

import asyncio

import pytest

from tests.api.client import Http
from tests.conftest import eventually
from tests.stores import Store

WORKER = {"name": "w1", "host": "h"}


async def waiting(http: Http, store: Store) -> asyncio.Task:
    """A worker that waits, from now on."""
    first = (await http("POST", "/v1/workers?wait=5", WORKER)).json
    assert (first["has_gap"], first["stop_grace_s"]) == (True, 15)
    task = asyncio.create_task(http("POST", f"/v1/workers?wait=5&seen={first['seen']}", WORKER))
    await eventually(lambda: store.workers.notices.is_awaited)
    return task


async def test_announce_waits_for_a_cancel(http: Http, store: Store) -> None:
    """The answer comes with the first cancel of a running job, and says where to go on."""
    worker = await waiting(http, store)
    await http("POST", "/v1/groups/g/jobs", {"jobs": [{"image": "x"}]})
    job = (await http("GET", "/v1/jobs")).json["jobs"][0]
    assert not worker.done()
    await http("POST", f"/v1/groups/g/jobs/{job['id']}/cancel")
    told = (await worker).json
    assert told["cancelled"] == [job["id"]]
    assert told["seen"]
    assert "has_gap" not in told


async def test_announce_waits_for_an_order(http: Http, store: Store) -> None:
    """An order ends the wait; until it is said to be done an announcement does not wait."""
    worker = await waiting(http, store)
    await http("POST", "/v1/workers/w1/order", {"order": "drain"})
    told = (await worker).json
    assert (told["number"], told["order"]) == (1, "drain")
    again = (await http("POST", f"/v1/workers?wait=5&seen={told['seen']}", WORKER)).json
    assert (again["order"], again["seen"]) == ("drain", told["seen"])


async def test_announce_without_wait(http: Http) -> None:
    """A worker of an older version is answered at once, as ever."""
    assert (await http("POST", "/v1/workers", WORKER)).json == {"number": 0, "stop_grace_s": 15}


@pytest.mark.parametrize("query", ["wait=31", "wait=-1", "wait=x", f"seen={'x' * 65}"])
async def test_announce_with_a_bad_query(http: Http, query: str) -> None:
    """What is out of bounds is refused with the parameter's name."""
    reply = await http("POST", f"/v1/workers?{query}", WORKER)
    assert reply.status == 400
    assert reply.json["error"]["fields"] == query.partition("=")[0]
