"""A worker and a broker, end to end over HTTP, with real commands."""

import asyncio
from pathlib import Path

import pytest

from broker.core.errors import NotFound
from broker.models.jobs import NewJob
from tests.stores import Store
from tests.worker.conftest import Front, Work, enqueue, read_log
from tests.worker.watching import is_dead, written
from worker.client import Client
from worker.jobs.outcome import Failed, Released, Succeeded

WAITS = "hang=sh -c 'echo $$; exec sleep 60'"


async def test_a_job_runs_and_its_log_is_kept(client: Client, work: Work) -> None:
    """A job that succeeds is reported, then what it printed is sent in."""
    (job,) = await client.enqueue("g", [NewJob(image="hello", payload="hello, world\n")])
    worker = work("hello=cat")
    await worker.until("logged", job)
    shown = await client.show("g", job.id)
    assert (shown.status, shown.deliveries) == ("succeeded", 1)
    assert await read_log(client, job) == b"hello, world\n"
    assert [event.kind for event in worker.events] == ["started", "ended", "reported", "logged"]


async def test_a_failure_is_reported_with_its_reason(client: Client, work: Work) -> None:
    """Exit codes, signals and timeouts arrive as reason and error."""
    exits, dies = await enqueue(client, "exits", "dies")
    (hangs,) = await enqueue(client, "hangs", timeout=1)
    worker = work("exits=sh -c 'exit 7'", "dies=sh -c 'kill -9 $$'", "hangs=sleep 60", lease_s=30)
    await worker.until("reported", exits, dies)
    (late,) = await worker.until("ended", hangs)
    assert isinstance(late.outcome, Failed)
    assert (late.outcome.reason, late.outcome.error) == ("timeout", "ran longer than its timeout of 1 s")
    shown = [await client.show("g", job.id) for job in (exits, dies)]
    assert [(job.status, job.reason, job.error) for job in shown] == [
        ("failed", "bad_exit", "exit code 7"),
        ("failed", "killed", "killed by SIGKILL"),
    ]


async def test_a_silent_job_has_no_log(client: Client, work: Work) -> None:
    """Nothing is sent in for a job that printed nothing."""
    (job,) = await enqueue(client, "quiet")
    worker = work("quiet=true")
    await worker.until("reported", job)
    assert await worker.end() == 0
    with pytest.raises(NotFound):
        await read_log(client, job)


async def test_no_more_jobs_than_slots(client: Client, work: Work, tmp_path: Path) -> None:
    """A worker takes jobs for its free slots only; the rest stays in the queue for others."""
    jobs = await enqueue(client, *["wait"] * 5)
    worker = work(f"wait=sh -c 'while ! test -e {tmp_path}/go; do sleep 0.02; done'", concurrency=2)
    await worker.until("started", *jobs[:2])
    assert (await client.group("g")).counts.running == 2
    assert worker.count("started") == 2
    (tmp_path / "go").touch()
    await worker.until("reported", *jobs)
    assert (await client.group("g")).counts.succeeded == 5


async def test_leases_are_kept(client: Client, work: Work, store: Store) -> None:
    """A job that runs for longer than its lease stays with its worker, as long as its timeout allows."""
    (job,) = await enqueue(client, "hang")
    worker = work(WAITS, lease_s=1)
    await worker.until("started", job)
    ends = {(await client.show("g", job.id)).expires_at}
    async with asyncio.timeout(5):
        while len(ends) < 3:
            ends.add((await client.show("g", job.id)).expires_at)
    await store.reap(100)
    assert (await client.show("g", job.id)).status == "running"


async def test_a_cancelled_job_is_killed_at_the_next_touch(client: Client, work: Work, tmp_path: Path) -> None:
    """Cancel reaches the process with the next touch; nothing is reported, and what it printed so far is kept."""
    (job,) = await enqueue(client, "hang")
    worker = work(f"hang=sh -c 'echo $$ | tee {tmp_path}/pid; exec sleep 60'", lease_s=1)
    pid = int(await written(tmp_path / "pid"))
    await client.cancel("g", job.id)
    await worker.until("dropped", job)
    await worker.until("logged", job)
    assert is_dead(pid)
    assert worker.count("reported") == 0
    shown = await client.show("g", job.id)
    assert (shown.status, shown.reason) == ("cancelled", "client_request")
    assert await read_log(client, job) == f"{pid}\n".encode()


async def test_a_lost_lease_ends_the_run(client: Client, work: Work, store: Store) -> None:
    """When another delivery holds the job its old run is killed, and its log is not kept as the other's."""
    (job,) = await enqueue(client, "hang")
    worker = work(WAITS, lease_s=1, concurrency=1)
    await worker.until("started", job)
    await store.release("g", job.id)
    (other,) = await client.next(groups=["g"])
    await worker.until("dropped", job)
    assert await worker.end() == 0
    assert (await client.succeed("g", job.id, other.lease or "")).status == "succeeded"
    with pytest.raises(NotFound):
        await read_log(client, job)


async def test_a_job_for_another_worker_is_left_alone(client: Client, work: Work) -> None:
    """A worker asks for the images of its table, and takes no job that it cannot run."""
    (other,) = await enqueue(client, "other")
    (ours,) = await enqueue(client, "hello", payload="x")
    worker = work("hello=cat", give_back_s=3600)
    await worker.until("reported", ours)
    assert await worker.end() == 0
    shown = await client.show("g", other.id)
    assert (shown.status, shown.deliveries) == ("queued", 0)
    assert worker.count("started") == 1


async def test_a_job_that_cannot_run_is_given_back(client: Client, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with too many images to ask for takes any job; one that is not in its table goes back with a delay."""
    monkeypatch.setattr("worker.daemon.loops.dequeue._MOST_IMAGES", 0)
    (job,) = await enqueue(client, "other")
    worker = work("hello=cat", give_back_s=3600)
    (event,) = await worker.until("reported", job)
    assert event.outcome == Released(3600)
    shown = await client.show("g", job.id)
    assert (shown.status, shown.deliveries) == ("delayed", 0)


async def test_only_the_groups_asked_for(client: Client, work: Work) -> None:
    """A worker with --group leaves other groups alone."""
    (theirs,) = await client.enqueue("theirs", [NewJob(image="quick")])
    (ours,) = await client.enqueue("ours", [NewJob(image="quick")])
    worker = work("quick=true", group=("ours",))
    await worker.until("reported", ours)
    assert (await client.show("theirs", theirs.id)).status == "queued"


async def test_a_broker_that_goes_away_and_comes_back(client: Client, front: Front, work: Work, tmp_path: Path) -> None:
    """A job continues while the broker is unreachable; its outcome and log are sent when it is back."""
    (job,) = await enqueue(client, "wait")
    worker = work(f"wait=sh -c 'while ! test -e {tmp_path}/go; do sleep 0.02; done; echo done'", lease_s=30)
    await worker.until("started", job)
    await front.stop()
    (tmp_path / "go").touch()
    (event,) = await worker.until("ended", job)
    assert isinstance(event.outcome, Succeeded)
    assert worker.count("reported") == 0
    await front.start()
    await worker.until("logged", job)
    assert (await client.show("g", job.id)).status == "succeeded"
    (more,) = await enqueue(client, "wait")
    await worker.until("reported", more)


async def test_a_runner_that_breaks_fails_the_job(client: Client, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the worker fails the job and names its cause: a released job might break it again and again."""

    async def breaks(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("worker.runners.process.ProcessRunner.run", breaks)
    (job,) = await enqueue(client, "hello")
    worker = work("hello=cat")
    await worker.until("reported", job)
    shown = await client.show("g", job.id)
    assert (shown.status, shown.reason, shown.deliveries) == ("failed", "worker_error", 1)
    assert shown.error == "the worker could not run it: RuntimeError: broken"
