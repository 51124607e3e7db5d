"""Batches: what a worker gives commands, containers, HTTP requests and functions of the batch of a job."""

import json
from typing import Any

import msgspec
import pytest

from broker.models.batches import CallbackJob, NewBatch
from broker.models.jobs import Job, JobBatch, NewJob
from tests.contract.flows import settle
from tests.stores import Store
from tests.worker.conftest import Work
from worker.client import Client
from worker.runners import http
from worker.runners.container_config import config_of
from worker.table.entries import ContainerEntry, HttpEntry

APP = "tests.worker.app"
WRITES = "sh -c 'echo ${TITAN_BATCH-none} > $TITAN_RESULT'"
BATCH = {
    "id": "0123456789abcdef",
    "callback": "on_over",
    "counts": {"total": 3, "over": 3, "succeeded": 2, "failed": 1, "cancelled": 0},
}


def job_of(batch: dict[str, Any] | None) -> Job:
    """A job with this batch."""
    given = {"batch": msgspec.convert(batch, JobBatch)} if batch else {}
    return Job(id="j", group_name="g", status="running", image="i", created_at="", **given)


async def test_a_command_has_its_batch(client: Client, work: Work, store: Store) -> None:
    """TITAN_BATCH has the id for a member, the counts for a callback, and is not set for other jobs."""
    over = CallbackJob(image="writes", payload="its own")
    batch = await client.create_batch("g", NewBatch(jobs=[NewJob(image="writes")], on_over=over))
    (plain,) = await client.enqueue("g", [NewJob(image="writes")])
    (member,) = (await client.batch_jobs("g", batch.id)).jobs
    worker = work(f"writes={WRITES}")
    await worker.until("reported", member, plain)
    await settle(store)
    callback = await client.show("g", (await client.batch("g", batch.id, wait_s=9)).callbacks["on_over"])
    await worker.until("reported", callback)
    results = [json.loads(bytes((await client.show("g", job.id)).result)) for job in (plain, member, callback)]
    counts = {"total": 1, "over": 1, "succeeded": 1, "failed": 0, "cancelled": 0}
    assert results[0] == "none"
    assert results[1] == {"id": batch.id}
    assert results[2] == {"id": batch.id, "callback": "on_over", "counts": counts}
    assert callback.payload == "its own"


@pytest.mark.parametrize("handler", ["counts", "counts_there"])
async def test_a_function_has_its_batch(client: Client, work: Work, store: Store, handler: str) -> None:
    """`job.batch` has the same, in the worker's process and in one of the pool."""
    batch = await client.create_batch("g", NewBatch(on_over=CallbackJob(image=handler)))
    await settle(store)
    callback = await client.show("g", (await client.batch("g", batch.id)).callbacks["on_over"])
    worker = work(app=(APP,))
    await worker.until("reported", callback)
    found = (await client.show("g", callback.id)).result
    assert json.loads(bytes(found)) == {"callback": "on_over", "over": 0}


def test_a_container_has_its_batch() -> None:
    """Its environment has TITAN_BATCH."""
    (found,) = [word for word in config_of(ContainerEntry(), job_of(BATCH))["Env"] if word.startswith("TITAN_BATCH=")]
    assert json.loads(found.partition("=")[2]) == BATCH
    assert not [word for word in config_of(ContainerEntry(), job_of(None))["Env"] if "BATCH" in word]


def test_an_http_request_has_its_batch() -> None:
    """The header Titan-Batch has it as JSON; those of the entry cannot take its place."""
    entry = HttpEntry({"Titan-Batch": "no"})
    assert json.loads(http.headers_of(entry, job_of(BATCH))["Titan-Batch"]) == BATCH
    assert "Titan-Batch" not in http.headers_of(HttpEntry(), job_of(None))


async def test_a_batch_is_run_by_its_client(client: Client) -> None:
    """The client of the command line adds, closes, cancels, lists and repeats as the API does."""
    batch = await client.create_batch("g", NewBatch(jobs=[NewJob(image="x")], open=True, name="n"), "k")
    assert (await client.create_batch("g", NewBatch(jobs=[NewJob(image="x")], open=True, name="n"), "k")).id == batch.id
    (job,) = await client.add_to_batch("g", batch.id, [NewJob(image="x")])
    assert [one.id for one in (await client.batch_jobs("g", batch.id, statuses=["queued"])).jobs][-1] == job.id
    assert (await client.close_batch("g", batch.id)).state == "running"
    assert (await client.cancel_batch("g", batch.id)).stopped == "client_request"
    assert [one.name for one in (await client.batches("g")).batches] == ["n"]
