"""Workers that were started oddly, or whose signals come twice: they work as ever, and so do their commands."""

import asyncio
import os
import pty
import signal
import sys
from pathlib import Path

import pytest

from broker.core.states import FINISHED
from broker.models.jobs import Job
from tests.worker.conftest import enqueue, read_log
from tests.worker.oddly import MUTE, PARENTS, after
from tests.worker.programs import Program, Start
from tests.worker.watching import children, written
from worker.client import Client
from worker.daemon import parent_watch
from worker.daemon.signals import StopCounter

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")]

PROBE = "grep -E 'Sig(Blk|Ign)' /proc/self/status; echo /proc/self/fd/*; echo $LC_CTYPE"
COMPLAINT = b"getcwd() failed: No such file or directory\n"
"""What a shell says of a folder that was removed; a function does not take it."""
APP = """
import subprocess
from worker import job

@job
def function(payload):
    return subprocess.run(["sh", "-c", PROBE], capture_output=True, text=True, close_fds=False).stdout
"""


@pytest.fixture
def table(tmp_path: Path) -> tuple[str, ...]:
    """Options of a worker with a command with and without limits, and a function, that tell how they were started."""
    (tmp_path / "oddapp.py").write_text(APP.replace("PROBE", repr(PROBE)))
    argv = f'argv = ["sh", "-c", "{PROBE}"]\nenv = {{LANG = "C"}}'
    (tmp_path / "t.toml").write_text(f"[process.free]\n{argv}\n[process.limited]\n{argv}\nlimits = {{cpu_s = 1000}}\n")
    return ("--config", str(tmp_path / "t.toml"), "--app", "oddapp")


async def finished(client: Client, job: Job) -> Job:
    """The job once it is finished."""
    async with asyncio.timeout(60):
        while (shown := await client.show("g", job.id)).status not in FINISHED:
            await asyncio.sleep(0.05)
    return shown


async def sent(client: Client, job: Job) -> bytes:
    """The log of a job once the worker has sent it; a worker that was stopped has sent it."""
    assert (await finished(client, job)).status == "succeeded"
    return await read_log(client, job)


@pytest.mark.parametrize("parent", [*PARENTS, *MUTE])
async def test_commands_start_as_ever(
    client: Client, start: Start, tmp_path: Path, table: tuple[str, ...], parent: str
) -> None:
    """Commands, limited or not, and those of functions begin with no signal ignored or blocked, and three descriptors.

    The worker reports them, and ends at SIGTERM with exit code 0.
    """
    jobs = await enqueue(client, "free", "limited", "function")
    program = await start(*table, before=(PARENTS | MUTE)[parent], PYTHONPATH=f"{Path.cwd()}:{tmp_path}")
    for job in jobs:
        assert (await finished(client, job)).status == "succeeded"
    program.signal(signal.SIGTERM)
    assert await program.end() == 0
    free, limited, function = [(await sent(client, job)).rpartition(COMPLAINT)[2] for job in jobs]
    assert free == limited == function
    blocked, ignored, files, locale = free.decode().split("\n")[:4]
    assert (blocked.split()[1], ignored.split()[1]) == ("0" * 16, "0" * 16)
    assert files.split() == [f"/proc/self/fd/{number}" for number in (0, 1, 2, 3)]  # 3: the folder that is being read
    assert locale in {"", "C.UTF-8"}
    assert b"Traceback" not in program.log


async def running(start: Start, tmp_path: Path, *words: str) -> Program:
    """A worker that runs a job, which ends when the file `go` exists."""
    script = f"sh -c 'echo $$ >{tmp_path}/pid; while ! test -e {tmp_path}/go; do sleep 0.02; done'"
    program = await start("--run", f"wait={script}", *words)
    await written(tmp_path / "pid")
    return program


@pytest.mark.parametrize("order", ["parent first", "worker first", "parent late", "a wrapper sends it again"])
async def test_one_stop_that_comes_twice(client: Client, start: Start, tmp_path: Path, order: str) -> None:
    """SIGTERM to every process of the worker at once is one stop: the running job may end, and the exit code is 0."""
    (job,) = await enqueue(client, "wait")
    program = await running(start, tmp_path)
    above, below = program.started.pid, int(children(program.started.pid).split()[0])
    pids = {"parent first": (above, below), "a wrapper sends it again": (above, above)}
    for pid in pids.get(order, (below, above)):
        os.kill(pid, signal.SIGTERM)
        await asyncio.sleep(3 * parent_watch.GATHER_S if order == "parent late" else 0)
    await program.says("stopping: 1 job")
    await asyncio.sleep(2 * parent_watch.GATHER_S)  # a second stop would come in this time
    (tmp_path / "go").touch()
    assert await program.end() == 0
    assert b"stopping now" not in program.log
    assert (await client.show("g", job.id)).status == "succeeded"


async def test_a_second_stop_after_one_that_came_twice(client: Client, start: Start, tmp_path: Path) -> None:
    """A person's second signal kills what runs, also when the first had reached every process."""
    await enqueue(client, "wait")
    program = await running(start, tmp_path)
    for pid in (program.started.pid, int(children(program.started.pid).split()[0])):
        os.kill(pid, signal.SIGTERM)
    await program.says("stopping: 1 job")
    await asyncio.sleep(2 * parent_watch.GATHER_S)  # until the parent has forwarded its own
    program.signal(signal.SIGINT)
    await program.says("stopping now")
    assert await program.end() == 1


def test_stops_are_counted_by_the_way_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent's own and the worker's own first signal are one stop; a further one of either is a second."""
    passed_on = 0
    monkeypatch.setattr(parent_watch, "stops_forwarded", lambda: passed_on)
    stops = StopCounter()
    stops.received()
    stops.end_first_stop()
    assert not stops.is_second()
    passed_on = 1
    stops.received()
    assert not stops.is_second()
    passed_on = 2
    stops.received()
    assert stops.is_second()
    later = StopCounter()
    passed_on = 0
    later.received()
    later.end_first_stop()
    later._first_at -= 60
    passed_on = 1
    later.received()
    assert later.is_second()


async def test_nohup_outlives_a_hangup(client: Client, start: Start) -> None:
    """Below nohup a SIGHUP only reads the table again."""
    ignoring = after("signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    program = await start("--run", "quick=true", before=ignoring)
    await program.says("asks for jobs")
    program.signal(signal.SIGHUP)
    await program.says("the table was read again")
    (job,) = await enqueue(client, "quick")
    await program.says(f"job {job.id}: succeeded")
    program.signal(signal.SIGTERM)
    assert await program.end() == 0


@pytest.mark.parametrize("is_kept", [False, True])
async def test_a_terminal_that_is_closed(client: Client, start: Start, is_kept: bool) -> None:
    """A worker stops when its terminal is closed, and lets jobs end; below nohup it works on until SIGTERM."""
    ours, theirs = pty.openpty()
    name = os.ttyname(theirs)
    ignoring = "signal.signal(signal.SIGHUP, signal.SIG_IGN); " if is_kept else ""
    at = after(f"{ignoring}os.setsid(); t = os.open('{name}', os.O_RDWR); fcntl.ioctl(t, termios.TIOCSCTTY, 0)")
    program = await start("--run", "quick=true", before=at)
    await program.says("asks for jobs")
    os.close(theirs)
    os.close(ours)
    if is_kept:
        await program.says("the table was read again")
        (job,) = await enqueue(client, "quick")
        await program.says(f"job {job.id}: succeeded")
        program.signal(signal.SIGTERM)
    assert await program.end() == 0
    assert (b"the terminal is closed" in program.log) is not is_kept
