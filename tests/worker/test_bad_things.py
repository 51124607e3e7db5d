"""What a worker must live through, with real programs: a flood of output, a flood of jobs, a clock that jumps."""

import asyncio
import resource
import signal
from collections import Counter
from pathlib import Path

import pytest

from broker.core.states import FINISHED
from broker.models.jobs import Job
from tests.worker.conftest import enqueue, read_log
from tests.worker.programs import Start
from tests.worker.watching import children, memory_kib, open_kinds
from worker.client import Client

pytestmark = pytest.mark.slow

MIB, GIB = 1 << 20, 1 << 30
ROOM_BYTES = 100_000
FLOOD = 1000
JUMPS = """
import time

_time, _begun = time.time, time.monotonic()
_DAY_S = 86_400


def _jumping() -> float:
    for_s = time.monotonic() - _begun
    return _time() + (_DAY_S if 1.5 < for_s < 3 else -_DAY_S if for_s >= 3 else 0)


time.time = _jumping
"""


async def finished(client: Client, job: Job) -> Job:
    """The job once it is finished."""
    async with asyncio.timeout(90):
        while (shown := await client.show("g", job.id)).status not in FINISHED:
            await asyncio.sleep(0.1)
    return shown


async def flood(client: Client) -> None:
    """Have a thousand jobs of `true` run to their ends."""
    await enqueue(client, *["true"] * FLOOD)
    async with asyncio.timeout(90):
        while (counts := (await client.group("g")).counts).queued + counts.running:
            await asyncio.sleep(0.1)


async def test_a_job_that_prints_a_gibibyte(client: Client, start: Start) -> None:
    """Its head and tail are kept and the rest is counted; the worker continues with other jobs."""
    flood, other = await enqueue(client, "flood", "other", timeout=90)
    run = ("--run", f"flood=sh -c 'echo begun; head -c {GIB} /dev/zero; echo ended'", "--run", "other=echo here")
    program = await start(*run, "--keep-log-bytes", "100000")
    assert (await finished(client, other)).status == "succeeded"
    shown = await finished(client, flood)
    assert shown.status == "succeeded"
    assert [receipt.log_bytes for receipt in shown.receipts or []] == [GIB + 12]
    program.signal(signal.SIGTERM)
    assert await program.end() == 0
    log = await read_log(client, flood)
    assert log.startswith(b"begun\n\0")
    assert log.endswith(b"\0ended\n")
    assert b"\n[titan: %d bytes of output were cut here]\n" % (GIB + 12 - 100_000) in log


async def test_no_disk_for_a_log(client: Client, start: Start) -> None:
    """A job that prints more than the disk takes succeeds; its log has what there was room for, and what is missing."""
    program = await start("--run", f"much=head -c {MIB} /dev/zero", "--run", "other=echo here")
    await program.says("asks for jobs")
    resource.prlimit(int(children(program.started.pid)), resource.RLIMIT_FSIZE, (ROOM_BYTES, ROOM_BYTES))
    much, other = await enqueue(client, "much", "other")
    assert [(await finished(client, job)).status for job in (much, other)] == ["succeeded", "succeeded"]
    program.signal(signal.SIGTERM)
    assert await program.end() == 0
    log, cut = await read_log(client, much), b"\n[titan: %d bytes of output were cut here]\n"
    kept = log.count(0)
    assert 0 < kept <= 2 * ROOM_BYTES
    assert cut % (MIB - kept) in log
    assert b"Traceback" not in program.log
    assert await read_log(client, other) == b"here\n"


async def test_a_flood_of_short_jobs(client: Client, start: Start) -> None:
    """Each of many jobs of `true` is run and reported once. Nothing of them stays: no process, no file, no memory."""
    program = await start("--run", "true=true", "--concurrency", "8", "--log-level", "warning")
    await flood(client)
    worker = int(children(program.started.pid))
    files, memory = open_kinds(worker), memory_kib(worker)
    await flood(client)
    assert children(worker) == ""
    assert children(program.started.pid).split() == [str(worker)]
    assert open_kinds(worker) == files
    assert memory_kib(worker) - memory < FLOOD  # not even one KiB a job
    program.signal(signal.SIGTERM)
    assert await program.end() == 0
    jobs, cursor = await client.list("g", 1000)
    while cursor:  # a page has fewer where the store is slow
        page, cursor = await client.list("g", 1000, cursor=cursor)
        jobs += page
    assert Counter((job.status, job.deliveries) for job in jobs) == {("succeeded", 1): 2 * FLOOD}


async def test_a_clock_that_jumps(client: Client, start: Start, tmp_path: Path) -> None:
    """A clock that jumps a day ahead and two back costs no lease, no job and no timeout."""
    (tmp_path / "sitecustomize.py").write_text(JUMPS)
    (job,) = await enqueue(client, "long", timeout=30)
    program = await start("--run", "long=sleep 5", "--lease-s", "1", PYTHONPATH=str(tmp_path))
    shown = await finished(client, job)
    assert (shown.status, shown.deliveries) == ("succeeded", 1)
    assert [4_000 < receipt.run_ms < 20_000 for receipt in shown.receipts or []] == [True]
    program.signal(signal.SIGTERM)
    assert await program.end() == 0
    assert b"no longer held" not in program.log
