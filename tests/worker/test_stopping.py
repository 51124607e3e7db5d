"""How a worker stops: it drains, releases the rest, or stops now."""

import asyncio
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.worker.conftest import Front, Work, enqueue, read_log
from tests.worker.watching import is_dead, written
from worker.client import Client


async def test_draining_waits_for_jobs_and_logs(client: Client, work: Work, tmp_path: Path) -> None:
    """A worker that was stopped takes nothing more, and lets its jobs end, reports them and sends their logs."""
    first, second = await enqueue(client, "wait", "wait")
    wait = f"wait=sh -c 'touch {tmp_path}/$TITAN_JOB_ID; while ! test -e {tmp_path}/go; do sleep 0.02; done; echo done'"
    worker = work(wait, concurrency=1)
    await eventually((tmp_path / first.id).exists)
    worker.stop.set()
    await asyncio.sleep(0)
    (tmp_path / "go").touch()
    assert await worker.end() == 0
    assert await read_log(client, first) == b"done\n"
    assert [(await client.show("g", job.id)).status for job in (first, second)] == ["succeeded", "queued"]


async def test_draining_gives_back_what_takes_too_long(client: Client, work: Work, tmp_path: Path) -> None:
    """After the grace period what still runs is killed and goes back to its queue; the delivery is not counted."""
    (job,) = await enqueue(client, "hang")
    worker = work(f"hang=sh -c 'echo $$ >{tmp_path}/pid; exec sleep 60'", grace_s=0.1)
    pid = int(await written(tmp_path / "pid"))
    assert await worker.end() == 0
    assert is_dead(pid)
    shown = await client.show("g", job.id)
    assert (shown.status, shown.deliveries) == ("queued", 0)


async def test_draining_without_a_broker_ends_in_time(
    client: Client, front: Front, work: Work, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A worker without a broker for its reports still ends; its exit code is 1."""
    monkeypatch.setattr("worker.daemon.daemon.LAST_REPORTS_S", 0.2)
    await enqueue(client, "hang")
    worker = work(f"hang=sh -c 'echo $$ >{tmp_path}/pid; exec sleep 60'", grace_s=0.1)
    pid = int(await written(tmp_path / "pid"))
    await front.stop()
    assert await worker.end() == 1
    assert is_dead(pid)


async def test_cancelling_a_worker_kills_its_jobs(client: Client, work: Work, tmp_path: Path) -> None:
    """A worker that is stopped now leaves no process behind; its jobs come back when their leases end."""
    (job,) = await enqueue(client, "hang")
    worker = work(f"hang=sh -c 'echo $$ >{tmp_path}/pid; exec sleep 60'")
    pid = int(await written(tmp_path / "pid"))
    worker.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker.task
    assert is_dead(pid)
    assert (await client.show("g", job.id)).status == "running"
