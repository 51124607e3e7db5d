"""`titan job wait`."""

import asyncio
from pathlib import Path

import pytest

from broker.cli.job.wait import _finished
from broker.core.errors import NotFound
from broker.models.jobs import Job
from tests.cli.live import BrokerThread, Titan
from worker.client import Client


def finished(titan: Titan, group: str, verb: str, *words: str) -> str:
    """The id of a job that is finished by the verb."""
    job_id = titan.made(group, *words)
    job = titan.taken(group)
    assert job["id"] == job_id
    titan("job", verb, group, job_id, "--lease", job["lease"])
    return job_id


def test_wait_succeeded(titan: Titan, group: str) -> None:
    """When all jobs succeeded, wait prints them and exits with 0."""
    ids = [finished(titan, group, "succeed"), finished(titan, group, "succeed")]
    waited = titan("job", "wait", group, *ids)
    assert waited.code == 0
    assert [row.split() for row in waited.out.splitlines()] == [[job_id, "succeeded"] for job_id in ids]


def test_wait_failed(titan: Titan, group: str) -> None:
    """When one failed, wait exits with 1, and prints the others all the same."""
    ids = [finished(titan, group, "fail"), finished(titan, group, "succeed")]
    waited = titan("job", "wait", group, *ids, "--json")
    assert waited.code == 1
    assert [job["status"] for job in waited.json["jobs"]] == ["failed", "succeeded"]


def test_wait_unknown(titan: Titan, group: str) -> None:
    """A job that does not exist is named on stderr, and wait continues with the others."""
    job_id = finished(titan, group, "succeed")
    waited = titan("job", "wait", group, "nope", job_id)
    assert waited.code == 1
    assert waited.out.split()[0] == job_id
    assert waited.err.startswith("nope: ")


def test_wait_time_over(titan: Titan, group: str) -> None:
    """When the timeout ends, wait names the jobs that are not finished and exits with 124."""
    done, queued = finished(titan, group, "succeed"), titan.made(group)
    waited = titan("job", "wait", group, done, queued, "--timeout", "0.3")
    assert waited.code == 124
    assert waited.out.split() == [done, "succeeded"]
    assert queued in waited.err
    assert done not in waited.err


@pytest.mark.slow
def test_wait_until_finished(titan: Titan, group: str) -> None:
    """Wait sees a job that finishes while it waits."""
    done, job_id = finished(titan, group, "succeed"), titan.made(group)
    job = titan.taken(group)
    with titan.process("job", "wait", group, done, job_id) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split()[0] == done.encode()
        titan("job", "succeed", group, job_id, "--lease", job["lease"])
        assert process.stdout.readline().split() == [job_id.encode(), b"succeeded"]
        assert process.wait(30) == 0


def test_wait_follow_retries(titan: Titan, group: str) -> None:
    """The retry counts in a failed job's place, which stderr says; with --no-follow-retries the job itself."""
    job_id = finished(titan, group, "fail", "--max-retries", "1", "--retries-delay", "0")
    assert titan("job", "wait", group, job_id, "--no-follow-retries").code == 1
    retry = titan.taken(group)
    titan("job", "succeed", group, retry["id"], "--lease", retry["lease"])
    for words in ((), ("--follow-retries",)):
        waited = titan("job", "wait", group, job_id, *words)
        assert waited.code == 0
        assert waited.out.split() == [retry["id"], "succeeded"]
        assert waited.err == f"{job_id} failed; waiting for its retry {retry['id']}\n"


@pytest.mark.slow
def test_wait_broker_away(tmp_path: Path, group: str) -> None:
    """A broker that goes away while wait waits is waited for, and that is said once."""
    broker = BrokerThread(tmp_path)
    broker.start()
    titan = Titan(broker.url)
    done, job_id = finished(titan, group, "succeed"), titan.made(group)
    with titan.process("job", "wait", group, done, job_id) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        broker.stop()
        assert process.stderr.readline().endswith(b"Still waiting.\n")
        broker.start()
        titan("job", "cancel", group, job_id)
        assert process.stdout.readline().split() == [job_id.encode(), b"cancelled", b"client_request"]
        assert process.wait(30) == 1
        assert process.stderr.read() == b""
    broker.stop()


async def test_wait_backs_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between two questions get longer, up to a bound."""
    pauses: list[float] = []

    class Busy(Client):
        async def show(self, group: str, job_id: str) -> Job:
            if len(pauses) == 20:
                raise NotFound
            return Job(id=job_id, group_name=group, status="running", image="x", created_at="")

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    found = [job async for job in _finished(Busy("http://127.0.0.1:9"), "g", {"a": None}, follow_retries=False)]
    assert found == [None]
    assert pauses[:20] == sorted(pauses[:20])
    assert pauses[0] <= 0.1
    assert pauses[19] == 5
