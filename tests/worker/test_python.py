"""The python runner: functions as jobs, in the worker's own loop and in a pool of processes."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from broker.models.jobs import Job, NewJob
from tests.conftest import eventually
from tests.worker.conftest import Work, read_log
from tests.worker.watching import is_dead, open_files
from titan import job
from worker.client import Client
from worker.jobs.outcome import Failed, Outcome, Released, Succeeded
from worker.jobs.output import Output
from worker.runners.pool import Pool
from worker.runners.python import PythonRunner
from worker.settings import WorkerSettings, app_environment
from worker.table.entries import PythonEntry
from worker.table.table import read_table

APP = "tests.worker.app"


class Running:
    """A python runner with a pool of two, and the logs of what it ran."""

    def __init__(self) -> None:
        read_table(WorkerSettings(app=(APP,)))
        self.runner = PythonRunner(Pool((APP,), app_environment(), 2, kill_after_s=0.1), grace_s=1)
        self.logs: list[Output] = []
        self.result, self.note = b"", ""

    async def run(self, handler: str, payload: str = "", **fields: Any) -> Outcome:
        """Run one job; its outcome apart from its result, which is kept."""
        given = {"id": "0" * 16, "group_name": "g", "status": "running", "created_at": "2026-11-23T00:00:00.000Z"}
        self.logs.append(Output(1 << 20))
        job = Job(image=handler, payload=payload, **(given | fields))
        outcome = await self.runner.run(PythonEntry(handler), job, self.logs[-1])
        if not isinstance(outcome, Succeeded):
            return outcome
        self.result, self.note = outcome.result, outcome.note
        return Succeeded(outcome.usage)

    async def text(self, at: int = -1) -> str:
        """What a job's log has."""
        return b"".join([piece async for piece in self.logs[at].pieces()]).decode()


@pytest.fixture
async def python() -> AsyncIterator[Running]:
    """The runner; its processes are gone at the end."""
    running = Running()
    yield running
    await running.runner.aclose()
    for log in running.logs:
        log.close()


async def test_a_coroutine_that_returns_succeeded(python: Running) -> None:
    """None is a success with an empty log; a text is a success with that log."""
    assert await python.run("quick") == Succeeded()
    assert python.logs[0].is_empty
    assert await python.run("text/reversed", "abc") == Succeeded()
    assert await python.text() == "cba"


@pytest.mark.parametrize(("handler", "text"), [("raises", "ValueError: no x"), ("times_out", "TimeoutError: mine")])
async def test_a_coroutine_that_raises_failed(python: Running, handler: str, text: str) -> None:
    """An exception is a failure that names it, and the log has the traceback."""
    assert await python.run(handler, "x") == Failed("exception", text)
    assert "app.py" in await python.text()


@pytest.mark.parametrize("where", ["here", "there"])
async def test_a_function_says_how_it_failed(python: Running, where: str) -> None:
    """`titan.Fail` and `titan.Retry` have a reason, and say whether and when the job is tried again."""
    bad_input = Failed("bad_input", "no such address", retry=False)
    assert await python.run(f"fails/{where}", "fail") == bad_input
    assert await python.run(f"fails/{where}", "retry") == Failed("temporary", "busy", retry_after_s=2)
    assert await python.run(f"fails/{where}", "0") == Failed("temporary", "temporary", retry_after_s=0)
    invalid = await python.run(f"fails/{where}", "-1")
    assert isinstance(invalid, Failed)
    assert (invalid.reason, "a wait is 0 to" in invalid.error) == ("invalid_outcome", True)


async def test_a_function_may_choose_its_outcome(python: Running) -> None:
    """What is returned stands, in this process and in one of the pool."""
    assert await python.run("chooses", "ok") == Succeeded()
    assert await python.run("chooses", "bad") == Failed("no_host", f"of {'0' * 16}")
    assert await python.run("chooses", "later") == Released(3600)
    assert await python.run("later", "7") == Released(7)


async def test_a_coroutine_that_takes_too_long_is_cancelled(python: Running) -> None:
    """The job's timeout ends it."""
    assert await python.run("hangs", timeout=1) == Failed("timeout", "ran longer than its timeout of 1 s")


async def test_a_function_runs_in_another_process(python: Running) -> None:
    """What it prints, on both streams, and what it returns is its log; it sees its job and its group's variables."""
    assert await python.run("prints", "said", env_vars={"COLOUR": "blue"}) == Succeeded()
    first, second, pid = (await python.text()).splitlines()
    assert (first, second) == ("said True blue", "err")
    assert int(pid) != os.getpid()
    assert await python.run("number") == Succeeded()
    assert await python.text() == f"{pid} False True"


async def test_functions_run_side_by_side_in_as_many_processes_as_allowed(python: Running) -> None:
    """Five jobs in a pool of two use two processes, each of which is used again."""
    await asyncio.gather(*(python.run("number", "0.1") for _ in range(5)))
    assert len({(await python.text(n)).split()[0] for n in range(5)}) == 2


async def test_a_function_that_raises_failed(python: Running) -> None:
    """An exception, sys.exit among them, is a failure that names it; the process is used again."""
    assert await python.run("raises_there", "x") == Failed("exception", "KeyError: 'x'")
    assert "Traceback" in await python.text()
    assert await python.run("leaves", "0") == Failed("exception", "SystemExit: 0")
    await python.run("number")
    await python.run("number")
    assert await python.text(-1) == await python.text(-2)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [("SIGSEGV", ("killed", "killed by SIGSEGV")), ("exit", ("bad_exit", "its process ended"))],
)
async def test_a_function_that_ends_its_process_failed(
    python: Running, payload: str, expected: tuple[str, str]
) -> None:
    """The job whose process ended is failed; the next one gets a new process."""
    outcome = await python.run("dies", payload)
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.error) == expected
    assert await python.run("number") == Succeeded()


async def test_a_function_that_takes_too_long_is_killed(python: Running) -> None:
    """At the timeout its process gets TERM, then KILL, with what it started; the next job gets a new one."""
    assert await python.run("stuck", timeout=1) == Failed("timeout", "ran longer than its timeout of 1 s")
    pids = [int(word) for word in (await python.text()).split()]
    await eventually(lambda: all(is_dead(pid) for pid in pids))
    assert await python.run("number") == Succeeded()


async def test_a_job_that_waits_too_long_for_a_process_timed_out(python: Running) -> None:
    """The timeout counts from the start of the run, not from when a process was free."""
    outcomes = await asyncio.gather(*(python.run("number", "3", timeout=1) for _ in range(3)))
    assert outcomes == [Failed("timeout", "ran longer than its timeout of 1 s")] * 3


async def test_cancelling_a_function_kills_its_process(python: Running) -> None:
    """A run that is cancelled leaves nothing of it."""
    before = open_files()
    run = asyncio.create_task(python.run("stuck"))
    await eventually(lambda: bool(python.logs) and not python.logs[0].is_empty)
    pids = [int(word) for word in (await python.text()).split()]
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await eventually(lambda: all(is_dead(pid) for pid in pids))
    assert open_files() == before


async def test_an_app_end_to_end(client: Client, work: Work) -> None:
    """A worker with --app takes jobs for its functions."""
    jobs = await client.enqueue(
        "g", [NewJob(image=image, payload="ab") for image in ("text/reversed", "raises", "raises_there")]
    )
    worker = work(app=(APP,))
    await worker.until("logged", *jobs)
    assert [(await client.show("g", job.id)).status for job in jobs] == ["succeeded", "failed", "failed"]
    assert await read_log(client, jobs[0]) == b"ba"


def test_two_functions_of_one_name_are_refused() -> None:
    """A name has one handler."""
    read_table(WorkerSettings(app=(APP,)))
    with pytest.raises(ValueError, match="'quick' has a handler already"):
        job("quick")(lambda _: None)


@pytest.mark.parametrize("app", ["tests.worker.no_such_app", "no_such_package.app"])
def test_an_app_that_cannot_be_imported_is_named(app: str) -> None:
    """The error names the module and the reason."""
    with pytest.raises(ValueError, match=f"app '{app}' cannot be imported: ModuleNotFoundError"):
        read_table(WorkerSettings(app=(app,)))
