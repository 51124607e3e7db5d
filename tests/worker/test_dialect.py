"""A client of Titan and a broker that speaks a dialect, when there are others."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tests.conftest import eventually
from titan.dialect import DIALECT_HEADER
from titan.errors import SpeaksDialect
from worker.client import Client
from worker.daemon.daemon import run_worker
from worker.settings import WorkerSettings

EMPTY = '{"jobs":[]}'


class Front:
    """An answering machine with the address of a broker; `dialect` may change."""

    def __init__(self) -> None:
        self.dialect = ""
        self.asked = 0
        self.polls = 0
        self.waits: list[str] = []
        self.agents: set[str] = set()

    async def answer(self, request: web.Request) -> web.Response:
        """No jobs."""
        self.asked += 1
        if request.path == "/v1/jobs":
            self.polls += 1
            self.waits.append(request.query["wait"])
        self.agents.add(request.headers["User-Agent"].partition("/")[0])
        headers = {DIALECT_HEADER: self.dialect} if self.dialect else {}
        return web.Response(text=EMPTY, content_type="application/json", headers=headers)


@pytest.fixture
async def fronts() -> AsyncIterator[list[tuple[Front, str]]]:
    """Two of them, and their addresses."""
    made, runners = [], []
    for _ in range(2):
        front, app = Front(), web.Application()
        app.router.add_route("*", "/{path:.*}", front.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        made.append((front, f"http://127.0.0.1:{runner.addresses[0][1]}"))
    yield made
    await asyncio.gather(*(runner.cleanup() for runner in runners))


async def test_next_broker_is_used(fronts: list[tuple[Front, str]]) -> None:
    """A broker that begins to speak a dialect is refused, and the next address is used from then on."""
    (first, one), (second, two) = fronts
    async with Client([one, two]) as client:
        assert await client.next() == []
        first.dialect = "2016"
        with pytest.raises(SpeaksDialect, match=rf"^The broker at {one} runs with --dialect 2016,"):
            await client.next()
        assert await client.next() == []
    assert (first.asked, second.asked) == (2, 1)
    assert first.agents == second.agents == {"titan-client"}


async def test_dialect_that_is_not_known_here(fronts: list[tuple[Front, str]]) -> None:
    """Another dialect is refused in the same way, and a long value is cut."""
    front, url = fronts[0]
    front.dialect = "x" * 500
    async with Client(url) as client:
        with pytest.raises(SpeaksDialect) as raised:
            await client.next()
    assert "x" * 64 + "," in raised.value.message


async def _worker(url: str, stop: asyncio.Event) -> int:
    return await run_worker(WorkerSettings(broker_url=(url,), run=("hello=true",)), stop=stop)


async def test_worker_stays_when_its_broker_begins_to_speak_a_dialect(fronts: list[tuple[Front, str]]) -> None:
    """It may have jobs to report, so it goes on asking until the right broker is back, and stops on request."""
    front, url = fronts[0]
    stop = asyncio.Event()
    work = asyncio.create_task(_worker(url, stop))
    await eventually(lambda: front.polls > 0)
    front.dialect, refused = "2016", front.polls
    await eventually(lambda: front.polls > refused + 1)
    assert front.waits[-1] == "0"
    front.dialect = ""
    await eventually(lambda: front.waits[-1] == "20")
    stop.set()
    assert await work == 0


async def test_worker_ends_at_a_first_broker_with_a_dialect(
    fronts: list[tuple[Front, str]], caplog: pytest.LogCaptureFixture
) -> None:
    """It ends with exit code 2 and one line that says what to do."""
    front, url = fronts[0]
    front.dialect = "2016"
    async with asyncio.timeout(20):
        assert await _worker(url, asyncio.Event()) == 2
    [line] = [record.message for record in caplog.records if record.name == "worker.daemon.daemon"][-1:]
    assert line.startswith(f"The broker at {url} runs with --dialect 2016, ")
