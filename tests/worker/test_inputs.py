"""Inputs: what a job gets from those that it waited for reaches commands, containers and functions."""

import io
import json
import tarfile
from typing import Any

from broker.models.jobs import Job, NewJob
from tests.contract.flows import settle
from tests.stores import Store
from tests.worker.conftest import Work
from worker.client import Client
from worker.jobs.running_job import running_job
from worker.runners.container_config import config_of
from worker.runners.container_files import add_files
from worker.table.entries import ContainerEntry

INPUTS = b'[{"id":"a","status":"succeeded","result":[1]},{"id":"b","status":"failed"}]'


class _Archive:
    """A container that keeps the archive which is put into it."""

    def __init__(self) -> None:
        self.content = b""

    async def put_archive(self, _: str, content: bytes) -> None:
        self.content = content


async def test_a_command_reads_the_file(client: Client, work: Work, store: Store) -> None:
    """TITAN_INPUTS names a file with the results; a job that waited for none has no such variable."""
    (parent,) = await client.enqueue("g", [NewJob(image="makes")])
    (child,) = await client.enqueue("g", [NewJob(image="takes", after=[parent.id])])
    worker = work(
        "makes=sh -c 'echo ${TITAN_INPUTS-none} > $TITAN_RESULT'", "takes=sh -c 'cp $TITAN_INPUTS $TITAN_RESULT'"
    )
    await worker.until("reported", parent)
    await settle(store)
    await worker.until("reported", child)
    made = (await client.show("g", parent.id)).result
    taken = (await client.show("g", child.id)).result
    assert json.loads(bytes(made)) == "none"
    assert json.loads(bytes(taken)) == [{"id": parent.id, "status": "succeeded", "result": "none"}]


async def test_a_container_reads_the_file() -> None:
    """Its volume has the file with the inputs, which its user may read, beside the empty ones that it writes."""
    container: Any = _Archive()
    await add_files(container, INPUTS)
    with tarfile.open(fileobj=io.BytesIO(container.content)) as files:
        members = {member.name: (member.mode, files.extractfile(member).read()) for member in files}
    assert members == {"result": (0o666, b""), "progress": (0o666, b""), "inputs": (0o444, INPUTS)}
    job = Job(id="j", group_name="g", status="running", image="i", created_at="", has_inputs=True)
    assert "TITAN_INPUTS=/titan/inputs" in config_of(ContainerEntry(reports=True), job)["Env"]
    assert not [word for word in config_of(ContainerEntry(), job)["Env"] if word.startswith("TITAN_INPUTS")]


def test_a_function_has_inputs() -> None:
    """`job.inputs` is a list with `result` in each, None where there is none; without inputs it is empty."""
    job = Job(id="j", group_name="g", status="running", image="i", created_at="", payload="p")
    running = running_job(job, lambda *_: None, INPUTS)
    assert running.inputs == [
        {"id": "a", "status": "succeeded", "result": [1]},
        {"id": "b", "status": "failed", "result": None},
    ]
    assert (running.id, running.payload, running_job(job, lambda *_: None).inputs) == ("j", "p", [])
