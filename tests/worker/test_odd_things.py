"""Whatever a job does, it ends with a reason and a text; its slot, its neighbours and the worker are as before."""

import asyncio
import signal
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from broker.core.states import FINISHED
from broker.models.jobs import Job, NewJob
from tests.worker.odd_site import odd_site
from tests.worker.odd_things import ASYNC, COMMAND, CONTAINER, HTTP, KINDS, POOL, Case, Row
from tests.worker.podman import IMAGE, Podman
from tests.worker.programs import Program, Start
from worker.client import Client

README = (Path(__file__).parents[2] / "broker/docs/worker.md").read_text()
APP = ("--app", "tests.worker.odd")

pytestmark = pytest.mark.slow


class Bench:
    """A worker with two slots, one of which a neighbour holds while the other has something odd in it."""

    def __init__(self, client: Client, folder: Path, neighbour: str, after: str) -> None:
        self._client = client
        self._folder = folder
        self._neighbour = neighbour
        self._after = after
        self._numbers = count()

    async def tried(self, row: Row, case: Case) -> tuple[str, ...]:
        """How the job ended, its neighbour meanwhile, and the next job in its slot."""
        go = self._folder / f"go-{next(self._numbers)}"
        neighbour = await self._running(NewJob(image=self._neighbour, payload=str(go)))
        odd = NewJob(image=case.image, payload=case.payload, timeout=case.timeout)
        if row.is_cancelled:
            job = await self._running(odd)
            await self._client.cancel("g", job.id)
        else:
            job = await self._enqueued(odd)
        shown = await self._finished(job)
        after = await self._finished(await self._enqueued(NewJob(image=self._after, payload="x")))
        beside = (await self._client.show("g", neighbour.id)).status
        go.touch()
        ended = (await self._finished(neighbour)).status
        found = case.error if case.error in (shown.error or "") else shown.error or ""
        receipts = "no receipt" if not shown.receipts and not row.is_cancelled else ""
        deliveries = "" if shown.deliveries == 1 else f"{shown.deliveries} deliveries"
        return shown.status, shown.reason or "", found, beside, ended, after.status, receipts, deliveries

    async def _enqueued(self, job: NewJob) -> Job:
        return (await self._client.enqueue("g", [job]))[0]

    async def _running(self, new: NewJob) -> Job:
        job = await self._enqueued(new)
        async with asyncio.timeout(30):
            while (await self._client.show("g", job.id)).status != "running":
                await asyncio.sleep(0.02)
        return job

    async def _finished(self, job: Job) -> Job:
        async with asyncio.timeout(30):
            while (shown := await self._client.show("g", job.id)).status not in FINISHED:
                await asyncio.sleep(0.02)
        return shown


def expected(row: Row, case: Case) -> tuple[str, ...]:
    """What the row says of the case."""
    status, _, reason = row.becomes.partition(", ")
    return status, case.reason or reason, case.error, "running", "succeeded", "succeeded", "", ""


async def check(bench: Bench, rows: tuple[Row, ...], worker: Program) -> None:
    """Try each case of the rows; afterwards the worker ends as it should."""
    cases = [(row, case) for row in rows for case in row.cases]
    results = {(row.does, case): await bench.tried(row, case) for row, case in cases}
    assert results == {(row.does, case): expected(row, case) for row, case in cases}
    assert worker.started.returncode is None
    worker.signal(signal.SIGTERM)
    assert await worker.end() == 0


async def started(start: Start, *words: str, **variables: str) -> Program:
    """A worker with two slots."""
    times = ("--lease-s", "3", "--kill-after-s", "0.5", "--grace-s", "1", "--concurrency", "2")
    worker = await start(*words, *times, **variables)
    await worker.says("asks for jobs")
    return worker


async def test_async_functions(client: Client, start: Start, tmp_path: Path) -> None:
    """In the worker's own loop."""
    worker = await started(start, *APP)
    await check(Bench(client, tmp_path, "beside", "after"), ASYNC, worker)


async def test_functions_of_the_pool(client: Client, start: Start, tmp_path: Path) -> None:
    """In processes of their own, each of which runs one job after the other."""
    worker = await started(start, *APP, "--pool-size", "2")
    await check(Bench(client, tmp_path, "pool/beside", "pool/after"), POOL, worker)


async def test_commands(client: Client, start: Start, tmp_path: Path) -> None:
    """In processes that the worker starts."""
    file = tmp_path / "worker.toml"
    file.write_text(
        '[process."command/sh"]\nargv = ["sh", "-c", "eval \\"$(cat)\\""]\n'
        '[process."command/missing"]\nargv = ["/nowhere/at/all"]\n'
        '[process."command/folder"]\nargv = ["/"]\n'
        '[process."command/no user"]\nargv = ["true"]\nuser = "nobody-here"\n'
        '[process.beside]\nargv = ["sh", "-c", "read -r f; while ! test -e $f; do sleep 0.05; done"]\n'
        "[process.after]\nargv = ['true']\n"
    )
    worker = await started(start, "--config", str(file))
    await check(Bench(client, tmp_path, "beside", "after"), COMMAND, worker)


@pytest.mark.xdist_group("podman")
async def test_containers(client: Client, start: Start, engine: Podman, tmp_path: Path) -> None:
    """On podman."""
    names = ("titan-sh:1", "titan-missing:1", "titan-beside:1", "titan-after:1")
    for name in names:
        engine("tag", IMAGE, f"localhost/{name}")
    file = tmp_path / "worker.toml"
    file.write_text(
        '[container."localhost/titan-missing:1"]\npull = "never"\ncommand = ["/nowhere"]\n'
        '[container."localhost/titan-after:1"]\npull = "never"\ncommand = ["/bin/true"]\n'
        '[container."localhost/titan-*"]\npull = "never"\ncommand = ["/bin/sh", "-c", "eval \\"$(cat)\\""]\n'
        '[process.beside]\nargv = ["sh", "-c", "read -r f; while ! test -e $f; do sleep 0.05; done"]\n'
    )
    worker = await started(start, "--config", str(file), DOCKER_HOST=engine.address)
    await check(Bench(client, tmp_path, "beside", "localhost/titan-after:1"), CONTAINER, worker)


async def test_addresses(client: Client, start: Start, tmp_path: Path) -> None:
    """Of a site that does what no site should."""
    file = tmp_path / "worker.toml"
    async with odd_site() as site:
        file.write_text(f'[http."{site}/*"]\n[http."http://127.0.0.1:1/"]\n')
        rows = tuple(row._replace(cases=tuple(map(partial(at, site), row.cases))) for row in HTTP)
        worker = await started(start, "--config", str(file))
        await check(Bench(client, tmp_path, f"{site}/beside", f"{site}/after"), rows, worker)


def at(site: str, case: Case) -> Case:
    """The case at the address where the site is."""
    return case._replace(image=f"{site}{case.image}") if case.image.startswith("/") else case


def test_the_page_has_the_same_table() -> None:
    """The table of broker/docs/worker.md says of each row what the tests above see."""
    lines = [line for line in README.splitlines() if line.startswith("| ")]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    kinds = {kind: [(row[1], row[2]) for row in rows if row[0] == kind] for kind in KINDS}
    assert kinds == {kind: [(row.does, row.becomes) for row in rows] for kind, rows in KINDS.items()}
