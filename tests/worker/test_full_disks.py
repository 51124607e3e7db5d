"""A full disk at the worker: the log keeps its first part, the cause is named, and no other part is blamed."""

import asyncio
import signal
from pathlib import Path

import pytest

from broker.core.states import FINISHED
from broker.models.jobs import Job
from tests.worker.conftest import enqueue, read_log
from tests.worker.oddly import unshared
from tests.worker.programs import Program, Start
from worker.client import Client

pytestmark = pytest.mark.slow

PRINTED = 3_000_000
MUCH = f"much=sh -c 'head -c {PRINTED} /dev/zero | tr \"\\0\" a; echo end'"
FILE = '[process.file]\nargv = ["true"]\npayload = "file"\n'


async def full(start: Start, tmp_path: Path, size: str, *words: str) -> Program:
    """A worker whose temporary folder has a disk of its own, of this size."""
    small = tmp_path / "small"
    small.mkdir()
    mount = f'mount -t tmpfs -o size={size} tmpfs {small} && exec "$@"'
    before = (*unshared("--mount"), "sh", "-c", mount, "sh")
    return await start(*words, before=before, TMPDIR=str(small))


async def ended(client: Client, job: Job) -> Job:
    """The job once it is finished."""
    async with asyncio.timeout(60):
        while (shown := await client.show("g", job.id)).status not in FINISHED:
            await asyncio.sleep(0.05)
    return shown


async def test_a_disk_that_becomes_full_in_the_middle(client: Client, start: Start, tmp_path: Path) -> None:
    """Head and tail are in the log, and between them the missing size and the cause, which the worker logs too."""
    much, other = await enqueue(client, "much", "other")
    program = await full(start, tmp_path, "256k", "--run", MUCH, "--run", "other=echo here")
    assert [(await ended(client, job)).status for job in (much, other)] == ["succeeded", "succeeded"]
    program.signal(signal.SIGTERM)
    assert await program.end() == 0
    log = await read_log(client, much)
    head, line, tail = log.partition(b"\n[titan: ")
    assert len(head) >= 200_000
    assert set(head) == {ord("a")}
    assert b"No space left on device]\n" in line + tail[:200]
    assert log.endswith(b"aend\n")
    assert b"could not be kept here: No space left on device" in program.log
    assert b"cannot be reached" not in program.log
    assert b"Exception" not in program.log
    assert await read_log(client, other) == b"here\n"


async def test_a_payload_for_which_the_disk_has_no_room(client: Client, start: Start, tmp_path: Path) -> None:
    """A job with its payload in a file fails with the cause; one that takes it on stdin runs."""
    (tmp_path / "t.toml").write_text(FILE + '[process.stdin]\nargv = ["cat"]\n')
    file, stdin = await enqueue(client, "file", "stdin", payload="x" * 100_000)
    program = await full(start, tmp_path, "64k", "--config", str(tmp_path / "t.toml"))
    failed, succeeded = await ended(client, file), await ended(client, stdin)
    program.signal(signal.SIGTERM)
    assert await program.end() == 0
    assert (failed.status, failed.deliveries, succeeded.status) == ("failed", 1, "succeeded")
    assert "its payload cannot be put into a file" in (failed.error or "")
    assert "No space left on device" in (failed.error or "")
    assert b"Traceback" not in program.log


async def test_no_folder_for_files(client: Client, start: Start, tmp_path: Path) -> None:
    """A TMPDIR that is removed while the worker runs costs the middle of long logs only."""
    folder = tmp_path / "gone"
    folder.mkdir()
    (tmp_path / "t.toml").write_text(FILE)
    program = await start("--config", str(tmp_path / "t.toml"), "--run", MUCH, TMPDIR=str(folder))
    (first,) = await enqueue(client, "file", payload="x")
    assert (await ended(client, first)).status == "succeeded"
    folder.rmdir()
    much, file = await enqueue(client, "much", "file", payload="x")
    assert (await ended(client, much)).status == "succeeded"
    failed = await ended(client, file)
    program.signal(signal.SIGTERM)
    assert await program.end() == 0
    log = await read_log(client, much)
    assert log.startswith(b"a" * 60_000)
    assert log.endswith(b"aend\n")
    assert "No such file or directory" in (failed.error or "")
    assert b"Exception" not in program.log
