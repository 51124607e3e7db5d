"""The http runner: what is sent to an address, and what its answer stands for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import pytest
from aiohttp import web

from broker.models.jobs import Job, NewJob
from broker.models.retries import Retry
from tests.worker.conftest import Work, read_log
from worker.client import Client
from worker.jobs.outcome import Failed, Outcome, Released, Succeeded
from worker.jobs.output import Output
from worker.runners.http import HttpRunner
from worker.table.entries import HttpEntry

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """A site that answers as the test sets it, and records its requests."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.answer: web.StreamResponse = web.Response()
        self.hangs = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer."""
        self.asked.append((f"{request.method} {request.path_qs}", dict(request.headers), await request.read()))
        if self.hangs:
            await asyncio.sleep(60)
        return self.answer


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """It listens on a free port."""
    site, app = Site(), web.Application()
    app.router.add_route("*", "/{rest:.*}", site.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield site
    await runner.cleanup()


@pytest.fixture
async def log() -> AsyncIterator[Output]:
    """A job's log."""
    log = Output(1000)
    yield log
    log.close()


async def run(url: str, log: Output, entry: HttpEntry | None = None, **fields: Any) -> Outcome:
    """Run one job."""
    given = {"id": "0" * 16, "group_name": "g", "status": "running", "created_at": "2026-11-23T00:00:00.000Z"}
    runner = HttpRunner()
    try:
        return await runner.run(entry or HttpEntry(), Job(image=url, **(given | fields)), log)
    finally:
        await runner.aclose()


async def test_the_payload_is_posted(site: Site, log: Output) -> None:
    """The body is the payload; headers name the job, and those of the entry cannot take their place."""
    entry = HttpEntry({"X-Key": "k", "Titan-Job-Id": "no"}, "application/json")
    assert await run(f"{site.url}/a?b=c", log, entry, payload='{"ö": 1}', deliveries=2) == Succeeded()
    ((call, headers, body),) = site.asked
    assert (call, body) == ("POST /a?b=c", '{"ö": 1}'.encode())
    expected = {
        "Content-Type": "application/json",
        "X-Key": "k",
        "Titan-Job-Id": "0" * 16,
        "Titan-Group": "g",
        "Titan-Delivery": "2",
    }
    assert headers.items() >= expected.items()


@pytest.mark.parametrize(
    ("status", "retry_after", "outcome"),
    [
        (200, None, Succeeded()),
        (202, "7", Succeeded()),
        (204, None, Succeeded()),
        (404, None, Failed("http_404", "answered 404")),
        (500, "7", Failed("http_500", "answered 500")),
        (429, "7", Released(7)),
        (503, "0", Released(0)),
        (503, "99999999999", Released(31_536_000)),
        (503, None, Failed("http_503", "answered 503")),
        (503, "soon", Failed("http_503", "answered 503")),
        (429, "Mon, 01 Jan 2001 00:00:00 GMT", Released(0)),
    ],
)
async def test_an_answer_is_an_outcome(
    site: Site, log: Output, status: int, retry_after: str | None, outcome: Outcome
) -> None:
    """2xx succeeded; 429 and 503 that say when go back until then; everything else failed."""
    site.answer = web.Response(status=status, headers={"Retry-After": retry_after} if retry_after else {})
    assert await run(site.url, log) == outcome


@pytest.mark.parametrize(
    ("status", "retry_after", "after_s"), [(503, "7", 7), (429, "0", 0), (500, "7", 7), (503, None, None)]
)
async def test_an_answer_to_a_job_with_a_policy(
    site: Site, log: Output, status: int, retry_after: str | None, after_s: int | None
) -> None:
    """A Retry-After is then the wait of a failure that counts: a site that is busy for ever ends the tries."""
    site.answer = web.Response(status=status, headers={"Retry-After": retry_after} if retry_after else {})
    failed = Failed(f"http_{status}", f"answered {status}", retry_after_s=after_s)
    assert await run(site.url, log, retry=Retry()) == failed


async def test_a_date_to_come_back(site: Site, log: Output) -> None:
    """Retry-After may be a date."""
    site.answer = web.Response(status=503, headers={"Retry-After": formatdate(time() + 60, usegmt=True)})
    outcome = await run(site.url, log)
    assert isinstance(outcome, Released)
    assert 50 <= outcome.delay_s <= 61


async def test_a_redirect_is_not_followed(site: Site, log: Output) -> None:
    """An allowed address cannot send the worker to one that is not."""
    site.answer = web.Response(status=307, headers={"Location": f"{site.url}/inside"})
    assert await run(site.url, log) == Failed("http_307", "answered 307; redirects are not followed")
    assert len(site.asked) == 1


async def test_the_body_of_the_answer_is_the_log(site: Site, log: Output) -> None:
    """It is cut as any output, whatever the status."""
    site.answer = web.Response(status=500, body=b"x" * 5000)
    await run(site.url, log)
    assert b"".join([piece async for piece in log.pieces()]).startswith(b"x" * 500 + b"\n[titan: 4000 bytes")
    assert log.cut_bytes == 4000


async def test_an_answer_that_takes_too_long(site: Site, log: Output) -> None:
    """The job's timeout bounds the call."""
    site.hangs = True
    assert await run(site.url, log, timeout=1) == Failed("timeout", "no whole answer in its timeout of 1 s")


async def test_nobody_there(log: Output) -> None:
    """An unreachable site is a failure with the cause."""
    outcome = await run("http://127.0.0.1:1/", log)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "http_error"
    assert "127.0.0.1:1" in outcome.error


async def test_only_addresses_of_the_table_are_called(client: Client, work: Work, site: Site, tmp_path: Path) -> None:
    """A job for another address goes back and nothing is sent there."""
    (tmp_path / "worker.toml").write_text(f'[http."{site.url}/in/*"]\n')
    allowed, other = await client.enqueue(
        "g", [NewJob(image=f"{site.url}/in/a"), NewJob(image=f"{site.url}/in/../admin")]
    )
    site.answer = web.Response(text="done")
    worker = work(config=str(tmp_path / "worker.toml"), give_back_s=3600)
    await worker.until("reported", allowed)
    await worker.until("logged", allowed)
    assert await read_log(client, allowed) == b"done"
    assert (await client.show("g", other.id)).status in ("queued", "delayed")
    assert [call for call, _, _ in site.asked] == ["POST /in/a"]
