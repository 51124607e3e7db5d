"""`titan job log` of a broker that says nothing for long, that breaks off, and that is gone."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web

from broker.cli.job.log import followed, stored
from broker.models.jobs import Job, JobWrapper
from titan.errors import BrokerUnavailable
from worker.client import Client

Reply = Callable[[web.StreamResponse, str], Awaitable[None]]
JOB = "0hYjB6dJb7Pq2Xk9"
GONE = "http://127.0.0.1:9"


class Stub:
    """A broker with one job, whose log it sends as the test says: one reply for each time that it is asked."""

    def __init__(self) -> None:
        self.status = "running"
        self.replies: list[Reply] = []
        self.queries: list[str] = []
        self.url = ""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer."""
        if not request.path.endswith("/log"):
            job = Job(id=JOB, group_name="g", status=self.status, image="x", created_at="")  # type: ignore[arg-type]
            return web.Response(body=msgspec.json.encode(JobWrapper(job)), content_type="application/json")
        self.queries.append(request.query_string)
        response = web.StreamResponse(headers={"Titan-Log-Start": request.query.get("start", "0")})
        await response.prepare(request)
        assert request.transport is not None
        await self.replies.pop(0)(response, "")
        if self.replies:  # the last one ends as it should
            request.transport.abort()
        return response


async def says(response: web.StreamResponse, _: str) -> None:
    """Send a line."""
    await response.write(b"line\n")


async def is_silent(response: web.StreamResponse, _: str) -> None:
    """Send nothing for longer than a follower waits."""
    await asyncio.sleep(1)


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    """A server on a free port."""
    stub = Stub()
    runner = web.ServerRunner(web.Server(stub), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stub.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield stub
    await runner.cleanup()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower takes a moment for a long silence."""
    monkeypatch.setattr("worker.api.logs._FOLLOW_PAUSE_S", 0.2)
    monkeypatch.setattr(sys.modules["broker.cli.job.log"], "_MIN_INTERVAL_S", 0.01)


async def test_a_quiet_job_is_followed_without_a_word(stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    """Silence, and an answer that a proxy cuts off, are no fault: it is asked again, behind what came, at once."""
    stub.replies = [is_silent, says, is_silent, says, says]

    async def last(response: web.StreamResponse, _: str) -> None:
        stub.status = "succeeded"
        await says(response, "")

    stub.replies += [last, says]
    async with Client([stub.url, GONE]) as client, asyncio.timeout(20):
        text = b"".join([piece async for piece in followed(client, "g", JOB)])
    assert text == b"line\n" * 5
    assert stub.queries == [f"follow=1{f'&start={at}' if at else ''}" for at in (0, 0, 5, 5, 10, 15, 20)]
    assert caplog.messages == []


async def test_a_broker_that_is_gone_is_said_once(stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    """A broker that does not answer when it is asked again is said to be away, once, and followed when it is back."""
    stub.replies = [says, says]
    away = 3

    class Away(Client):
        async def show(self, group: str, job_id: str) -> Job:
            nonlocal away
            if stub.queries and away:
                away -= 1
                raise BrokerUnavailable("away")
            stub.status = "succeeded" if stub.queries else "running"
            return await super().show(group, job_id)

    async def sleep(_: float) -> None:
        await asyncio.sleep(0)

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(sys.modules["broker.cli.job.log"], "asyncio", type("Quick", (), {"sleep": staticmethod(sleep)}))
        async with Away(stub.url) as client, asyncio.timeout(20):
            text = b"".join([piece async for piece in followed(client, "g", JOB)])
    assert text == b"line\n" * 2
    assert caplog.messages == ["log: away; trying again until it works"]


async def test_a_log_goes_on_where_it_was_broken_off(stub: Stub) -> None:
    """A reader that paused for longer than the broker waits gets each byte once all the same."""
    stub.replies = [says, says, says]
    async with Client(stub.url) as client:
        assert b"".join([piece async for piece in stored(client, "g", JOB)]) == b"line\n" * 3
    assert stub.queries == ["", "start=5", "start=10"]


async def test_a_log_that_comes_no_further_is_an_error(stub: Stub) -> None:
    """A log that breaks off again without another byte is given up."""

    async def nothing(*_: Any) -> None:
        """Send nothing."""

    stub.replies = [says, nothing, nothing]
    async with Client(stub.url) as client:
        with pytest.raises(BrokerUnavailable, match="broke off"):
            [piece async for piece in stored(client, "g", JOB)]
