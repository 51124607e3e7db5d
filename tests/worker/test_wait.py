"""A job that waits for others in the middle of its work: a Python function, and a command that calls wait itself."""

import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.models.jobs import Job, NewJob
from tests.contract.flows import settle
from tests.stores import Store
from tests.worker.conftest import Front, Work, read_log
from tests.worker.test_python import APP, Running
from worker.client import Client
from worker.jobs.outcome import Failed, Waiting

COMMAND = """
import os, sys, urllib.request
if "TITAN_INPUTS" in os.environ:
    print(open(os.environ["TITAN_INPUTS"]).read())
    sys.exit()
url = "{url}/v1/groups/g/jobs/" + os.environ["TITAN_JOB_ID"] + "/wait"
headers = {{"Titan-Lease": os.environ["TITAN_LEASE"], "Content-Type": "application/json"}}
body = ('{{"after": ["' + sys.stdin.read() + '"]}}').encode()
urllib.request.urlopen(urllib.request.Request(url, body, headers))
{after}
"""
"""A command that waits for the job that its payload names, and then prints its inputs."""


@pytest.fixture
async def python() -> AsyncIterator[Running]:
    """A python runner."""
    running = Running()
    yield running
    await running.runner.aclose()
    for log in running.logs:
        log.close()


@pytest.mark.parametrize("where", ["here", "there"])
async def test_a_function_waits_for_its_children(client: Client, work: Work, store: Store, where: str) -> None:
    """It raises `WaitFor`, and runs again with how they ended; the delivery does not count."""
    children = await client.enqueue("others", [NewJob(image="x")] * 2)
    (job,) = await client.enqueue("g", [NewJob(image=f"waits/{where}", payload=" ".join(one.id for one in children))])
    worker = work(app=(APP,))
    await worker.until("reported", job)
    held = await client.show("g", job.id)
    assert (held.status, held.waits_for.jobs, held.deliveries) == ("delayed", 2, 0)
    assert [receipt.outcome for receipt in held.receipts] == ["waited"]
    for child in children:
        await client.cancel("others", child.id)
    await settle(store)
    await until_over(client, job)
    over = await client.show("g", job.id)
    assert (over.status, bytes(over.result), over.deliveries) == ("succeeded", b'["cancelled","cancelled"]', 1)
    assert await worker.end() == 0


async def until_over(client: Client, job: Job) -> None:
    """Wait for the end of a job."""
    while not (await client.show(job.group_name, job.id, wait_s=10)).completed_at:
        pass


async def test_what_no_job_can_wait_for(python: Running) -> None:
    """Nothing, or too many jobs: the job fails, and its error names the limit."""
    for where in ("here", "there"):
        for payload in ("", "x " * 101):
            outcome = await python.run(f"waits/{where}", payload)
            assert isinstance(outcome, Failed)
            assert (outcome.reason, "1 to 100 jobs" in outcome.error) == ("invalid_outcome", True)
        assert await python.run(f"waits/{where}", "a b") == Waiting(("a", "b"))


@pytest.mark.parametrize(
    ("payload", "why"), [("0" * 16, "There is no such job"), ("itself", "It would wait for the job")]
)
async def test_a_wait_that_is_refused_fails_the_job(client: Client, work: Work, payload: str, why: str) -> None:
    """A job that does not exist, or that waits for this one, could never end: the job fails, and its error names it."""
    (job,) = await client.enqueue("g", [NewJob(image="waits/here", payload=payload)])
    worker = work(app=(APP,))
    await worker.until("reported", job)
    failed = await client.show("g", job.id)
    assert (failed.status, failed.reason) == ("failed", "invalid_outcome")
    assert why in failed.error
    assert await worker.end() == 0


@pytest.mark.parametrize("after", ["exit(3)", "import time; time.sleep(60)"])
async def test_a_command_that_waits_is_not_reported(
    front: Front, client: Client, work: Work, store: Store, caplog: pytest.LogCaptureFixture, tmp_path: Path, after: str
) -> None:
    """A command calls wait with TITAN_LEASE. How it ends means nothing then; one that does not end is stopped."""
    (child,) = await client.enqueue("others", [NewJob(image="x")])
    (job,) = await client.enqueue("g", [NewJob(image="waits", payload=child.id)])
    script = tmp_path / "waits.py"
    script.write_text(COMMAND.format(url=front.url, after=after))
    with caplog.at_level(logging.INFO):
        worker = work(f"waits={sys.executable} {script}")
        await worker.until("dropped", job)
        assert (await client.show("g", job.id)).status == "delayed"
        await client.cancel("others", child.id)
        await settle(store)
        await worker.until("reported", job)
    over = await client.show("g", job.id)
    assert (over.status, over.deliveries) == ("succeeded", 1)
    await worker.until("logged", job)
    assert b'"status":"cancelled"' in await read_log(client, job)
    assert await worker.end() == 0
    assert "it gave the job back itself" in caplog.text
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
