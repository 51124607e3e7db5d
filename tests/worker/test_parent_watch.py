"""What a worker's jobs leave behind: nothing, whatever a job does to hide, and whoever kills the worker."""

import os
import signal
import sys
from pathlib import Path

import pytest

from broker.models.jobs import NewJob
from tests.conftest import eventually
from tests.worker.programs import Program, Start
from tests.worker.watching import is_dead, written
from worker.client import Client

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="adopting orphans is Linux's")

DAEMON = """
import os, sys, time
folder, *how = sys.argv[1:]

def note(name):
    with open(f"{folder}/{name}", "w") as file: file.write(f"{os.getpid()}\\n")

def work():
    note("daemon")
    if os.fork() == 0:
        os.setsid()
        note("child")
    time.sleep(60)

if "again" in how: work()
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    if "wiped" in how: os.execve(sys.executable, [sys.executable, *sys.argv, "again"], {})
    work()
while not (os.path.exists(f"{folder}/child") and os.path.getsize(f"{folder}/child")): time.sleep(0.01)
note("main")
if "ends" not in how: time.sleep(60)
"""


@pytest.fixture
def daemon(tmp_path: Path) -> str:
    """A --run entry of a job that daemonises: a process in a session of its own, with a child in another."""
    script = tmp_path / "daemon.py"
    script.write_text(DAEMON)
    return f"daemon={sys.executable} {script} {tmp_path}"


async def pids(tmp_path: Path, *names: str) -> list[int]:
    """The numbers of the job's processes, once they run."""
    return [int(await written(tmp_path / name)) for name in names]


@pytest.mark.parametrize("how", ["", "wiped"])
async def test_daemons_of_a_job_are_killed_when_it_ends(
    client: Client, start: Start, tmp_path: Path, daemon: str, how: str
) -> None:
    """Sessions, double forks and a wiped environment do not let a process outlive its job."""
    (job,) = await client.enqueue("g", [NewJob(image="daemon")])
    program = await start("--run", f"{daemon} ends {how}")
    await program.says(f"job {job.id}: succeeded")
    tree = await pids(tmp_path, "daemon", "child", "main")
    await eventually(lambda: all(is_dead(pid) for pid in tree))
    program.signal(signal.SIGTERM)
    assert await program.end() == 0


async def test_daemons_of_another_job_live_on(client: Client, start: Start, tmp_path: Path, daemon: str) -> None:
    """Only what the job that ended left behind is killed."""
    long, short = await client.enqueue("g", [NewJob(image="daemon"), NewJob(image="short")])
    program = await start(
        "--run", daemon, "--run", f"short=sh -c 'while ! test -e {tmp_path}/main; do sleep 0.02; done'"
    )
    running = await pids(tmp_path, "daemon", "child", "main")
    await program.says(f"job {short.id}: succeeded")
    assert not any(is_dead(pid) for pid in running)
    await client.cancel("g", long.id)
    program.signal(signal.SIGTERM)
    await program.says("stopping")
    program.signal(signal.SIGTERM)
    await program.end()
    assert all(is_dead(pid) for pid in running)


@pytest.mark.parametrize("who", ["parent", "worker"])
@pytest.mark.parametrize("how", ["", "wiped"])
async def test_a_killed_worker_leaves_nothing(
    client: Client, start: Start, tmp_path: Path, daemon: str, who: str, how: str
) -> None:
    """After SIGKILL of the parent or of the worker below it no process of a job's tree is left."""
    await client.enqueue("g", [NewJob(image="daemon")])
    program = await start("--run", f"{daemon} {how}")
    tree = await pids(tmp_path, "daemon", "child", "main")
    worker = below(program)
    os.kill(program.started.pid if who == "parent" else worker, signal.SIGKILL)
    assert await program.end() == -signal.SIGKILL
    await eventually(lambda: all(is_dead(pid) for pid in [*tree, worker]))


async def test_signals_reach_the_worker_once(client: Client, start: Start, tmp_path: Path) -> None:
    """A terminal's signal, which goes to its whole process group, counts once: the worker drains."""
    (job,) = await client.enqueue("g", [NewJob(image="wait")])
    program = await start(
        "--run", f"wait=sh -c 'echo $$ >{tmp_path}/pid; while ! test -e {tmp_path}/go; do sleep 0.02; done'"
    )
    await written(tmp_path / "pid")
    assert os.getpgid(below(program)) != os.getpgid(program.started.pid)
    program.signal(signal.SIGINT)
    await program.says("stopping: 1 job running")
    (tmp_path / "go").touch()
    assert await program.end() == 0
    assert (await client.show("g", job.id)).status == "succeeded"


def below(program: Program) -> int:
    """The worker below its parent."""
    pid = program.started.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
