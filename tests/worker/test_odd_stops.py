"""A stop ends in time, whatever the jobs that run then do."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from tests.worker.conftest import Front, enqueue
from tests.worker.programs import Program, Start
from worker.client import Client
from worker.daemon.daemon import LAST_REPORTS_S

pytestmark = pytest.mark.slow

GRACE_S = 1.0
MORE_S = LAST_REPORTS_S + 8.0
"""What a stop may take on top of its grace, on a machine that has other work too."""
DEAF = 'deaf = {argv = ["sh", "-c", "trap \'\' TERM INT HUP; while :; do sleep 1; done"]}'


async def stopped(program: Program) -> tuple[float, int]:
    """How long a stop takes, in s, and the exit code."""
    began = time.monotonic()
    program.signal(signal.SIGTERM)
    assert program.started.stderr is not None
    async with asyncio.timeout(60):
        program.log += await program.started.stderr.read()
        code = await program.started.wait()
    return time.monotonic() - began, code


async def running(client: Client, start: Start, folder: Path, *images: str) -> Program:
    """A worker in which one job of each image runs."""
    (folder / "worker.toml").write_text(f"[process]\n{DEAF}\n")
    jobs = await enqueue(client, *images, timeout=600)
    times = ("--grace-s", str(GRACE_S), "--kill-after-s", "30", "--lease-s", "60", "--concurrency", str(len(images)))
    program = await start("--app", "tests.worker.odd", "--config", str(folder / "worker.toml"), *times)
    for job in jobs:
        await program.says(f"job {job.id}: started")
    return program


@pytest.mark.parametrize("image", ["async/swallows", "async/shields", "async/blocks", "pool/stuck", "deaf"])
async def test_a_stop_ends_in_time_whatever_jobs_do(client: Client, start: Start, tmp_path: Path, image: str) -> None:
    """A job that ignores every request to end is released, uncounted, when the grace has ended."""
    program = await running(client, start, tmp_path, image)
    took_s, code = await stopped(program)
    assert took_s < GRACE_S + MORE_S
    assert code == 0, program.log.decode()
    [shown], _ = await client.list("g")
    assert (shown.status, shown.deliveries) == ("queued", 0)


async def test_a_stop_does_not_wait_for_what_jobs_left_behind(client: Client, start: Start, tmp_path: Path) -> None:
    """Tasks and threads of finished jobs delay no stop, and do not change the exit code."""
    program = await running(client, start, tmp_path, "async/leaks")
    await program.says(": succeeded")
    took_s, code = await stopped(program)
    assert (took_s < GRACE_S + MORE_S, code) == (True, 0)


async def test_a_stop_ends_in_time_without_a_broker(client: Client, front: Front, start: Start, tmp_path: Path) -> None:
    """With deaf jobs and nobody to report to it ends all the same, and says by its exit code that something is left."""
    program = await running(client, start, tmp_path, "async/swallows", "pool/stuck", "deaf")
    await front.stop()
    took_s, code = await stopped(program)
    assert (took_s < GRACE_S + MORE_S, code) == (True, 1)


async def test_a_second_signal_stops_deaf_jobs_now(client: Client, start: Start, tmp_path: Path) -> None:
    """It waits for no grace, and for no job."""
    program = await running(client, start, tmp_path, "async/swallows", "deaf")
    program.signal(signal.SIGTERM)
    await program.says("stopping: ")
    took_s, code = await stopped(program)
    assert (took_s < MORE_S, code) == (True, 1)
