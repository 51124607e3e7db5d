"""Following a log while it grows: as text, and as events for browsers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest

from broker.core.settings import BrokerSettings
from broker.core.timestamps import milliseconds
from tests.api.client import NO_JOB, Http
from tests.stores import Store

Job = dict[str, Any]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower looks many times a second."""
    monkeypatch.setattr("broker.logs.follower.LOOK_S", 0.02)


def path(job: Job, more: str = "") -> str:
    """The job's log."""
    return f"/v1/groups/g/jobs/{job['id']}/log{more}"


async def send(http: Http, job: Job, text: bytes, *, more: bool = True, lease: str = "") -> int:
    """Store the log so far; the status."""
    headers = {"Titan_Lease": lease or job["lease"]}
    reply = await http("POST", path(job, f"?more={int(more)}"), text, Content_Type="text/plain", **headers)
    return reply.status


async def succeed(http: Http, job: Job) -> None:
    """End the job."""
    assert (await http("POST", f"/v1/groups/g/jobs/{job['id']}/success", {"lease": job["lease"]})).status == 200


@asynccontextmanager
async def following(http: Http, job: Job, more: str = "", **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """A follower whose answer has begun."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"http://{http.address[0]}:{http.address[1]}{path(job, '?follow=1' + more)}"
    async with asyncio.timeout(10), http.session.get(url, headers=names) as answer:
        yield answer


async def read(answer: aiohttp.ClientResponse, n: int) -> bytes:
    """The next n bytes."""
    return await answer.content.readexactly(n)


async def test_follow_sends_what_comes_until_the_log_is_whole(http: Http) -> None:
    """A follower gets each byte once, in order, and its answer ends when the job has and all of its log is sent."""
    [job] = await http.running()
    async with following(http, job) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        await send(http, job, b"one\n")
        assert await read(answer, 4) == b"one\n"
        await send(http, job, b"one\ntwo \xff\n")
        assert await read(answer, 6) == b"two \xff\n"
        await succeed(http, job)
        await send(http, job, b"one\ntwo \xff\nthree\n", more=False)
        assert await answer.read() == b"three\n"


async def test_follow_before_the_job_runs(http: Http) -> None:
    """A follower of a queued job waits for its log to begin."""
    [job] = await http.enqueue()
    async with following(http, job) as answer:
        [job] = (await http("GET", "/v1/jobs")).json["jobs"]
        await send(http, job, b"here\n")
        assert await read(answer, 5) == b"here\n"


async def test_follow_of_a_finished_job(http: Http) -> None:
    """Of a job that is over there is its whole log and nothing to wait for."""
    [job] = await http.running()
    await succeed(http, job)
    await send(http, job, b"all\n", more=False)
    async with following(http, job) as answer:
        assert await answer.read() == b"all\n"


async def test_follow_of_a_job_that_printed_nothing(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a log a follower waits a while after the job's end, and no longer."""
    monkeypatch.setattr("broker.logs.follower.LAST_LOG_MS", 50)
    [job] = await http.running()
    await succeed(http, job)
    async with following(http, job) as answer:
        assert await answer.read() == b""


async def test_follow_with_tail_and_start(http: Http) -> None:
    """A follower may begin with the last lines, or behind a place; the answer says where it begins."""
    [job] = await http.running()
    await send(http, job, b"one\ntwo\n")
    async with following(http, job, "&tail=1") as answer:
        assert answer.headers["Titan-Log-Start"] == "4"
        assert await read(answer, 4) == b"two\n"
    async with following(http, job, "&start=2") as answer:
        assert await read(answer, 6) == b"e\ntwo\n"
    assert (await http("GET", path(job, "?start=4"))).text == "two\n"
    assert (await http("GET", path(job, "?start=99"))).text == ""


async def test_follow_of_a_job_that_is_handed_out_again(http: Http, store: Store) -> None:
    """When another delivery's log takes the place of the first, a line says so and it is sent from its start."""
    [job] = await http.running()
    await send(http, job, b"first\n")
    async with following(http, job) as answer:
        assert await read(answer, 6) == b"first\n"
        store.now = str(milliseconds(job["expires_at"]) + 1)
        await store.reap(10)
        [again] = (await http("GET", "/v1/jobs")).json["jobs"]
        assert await send(http, job, b"stale\n") == 409
        assert await send(http, again, b"second\n") == 200
        assert (await answer.content.readuntil(b"over]\n")).startswith(b"\n[titan: ")
        assert await read(answer, 7) == b"second\n"


async def test_follow_ends_with_the_job(http: Http) -> None:
    """A job that is deleted ends what follows its log."""
    [job] = await http.running()
    async with following(http, job) as answer:
        await succeed(http, job)
        assert (await http("DELETE", f"/v1/groups/g/jobs/{job['id']}")).status == 204
        assert await answer.read() == b""


async def test_follow_of_no_job(http: Http) -> None:
    """There is nothing to follow of a job that is not there."""
    assert (await http("GET", path({"id": NO_JOB}, "?follow=1"))).problem.code == "not_found"


@pytest.fixture
def settings(settings: BrokerSettings) -> BrokerSettings:
    return msgspec.structs.replace(settings, max_followers=2)


async def test_follow_is_bounded_and_ends_with_its_client(http: Http) -> None:
    """A follower too many is refused with Retry-After; one that hangs up makes room."""
    [job] = await http.running()
    async with following(http, job):
        async with following(http, job):
            reply = await http("GET", path(job, "?follow=1"))
            assert (reply.status, reply.problem.code, reply.headers["Retry-After"]) == (429, "limit_reached", "1")
        async with asyncio.timeout(5):
            while True:
                async with following(http, job) as answer:
                    if answer.status == 200:
                        break


async def test_follow_as_events(http: Http) -> None:
    """A browser gets each piece as JSON with the place behind it as id, bytes that are no text replaced, and an end."""
    [job] = await http.running()
    await send(http, job, b"\x1b[31mred\r\n\xff\xc3")
    async with following(http, job, Accept="text/event-stream") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        first = (await answer.content.readuntil(b"\n\n")).decode()
        ident, _, text = first.partition("\n")
        assert (ident, json.loads(text.removeprefix("data: "))) == ("id: 12", "\x1b[31mred\r\n\ufffd")
        await succeed(http, job)
        await send(http, job, b"\x1b[31mred\r\n\xff\xc3\xa4\n", more=False)
        rest = (await answer.read()).decode()
    assert rest == 'id: 14\ndata: "ä\\n"\n\nevent: end\ndata: {}\n\n'


async def test_follow_as_events_again(http: Http) -> None:
    """A browser that comes back says in Last-Event-ID where it was, and gets what stands behind it."""
    [job] = await http.running()
    await send(http, job, b"one\ntwo\n")
    async with following(http, job, Accept="text/event-stream", Last_Event_ID="4") as answer:
        assert await answer.content.readuntil(b"\n\n") == b'id: 8\ndata: "two\\n"\n\n'


async def test_log_of_which_more_follows(http: Http) -> None:
    """The beginning of a log is taken from the delivery that holds the job, while it runs, and from nobody else."""
    [job] = await http.running()
    assert await send(http, job, b"one\n") == 200
    assert await send(http, job, b"two\n", lease="another") == 409
    await succeed(http, job)
    assert await send(http, job, b"late\n") == 409
    assert (await http("GET", path(job))).text == "one\n"
    assert await send(http, job, b"one\nlast\n", more=False) == 200
    assert (await http("GET", path(job))).text == "one\nlast\n"
