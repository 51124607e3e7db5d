"""`python -m worker` as a program: its options, its log, its signals and exit codes."""

import signal
from pathlib import Path

import pytest

from broker.models.jobs import NewJob
from tests.worker.programs import Start
from tests.worker.watching import is_dead, written
from worker.client import Client


async def test_sigterm_drains(client: Client, start: Start, tmp_path: Path) -> None:
    """After SIGTERM what runs may end; it is reported, its log sent, and the exit code is 0."""
    (job,) = await client.enqueue("g", [NewJob(image="wait")])
    script = f"wait=sh -c 'echo $$ >{tmp_path}/pid; while ! test -e {tmp_path}/go; do sleep 0.02; done; env'"
    program = await start("--run", script)
    await written(tmp_path / "pid")
    program.signal(signal.SIGTERM)
    await program.says("stopping: 1 job running")
    (tmp_path / "go").touch()
    assert await program.end() == 0
    assert program.log.endswith(b"stopped: every job is reported or released\n")
    assert (await client.show("g", job.id)).status == "succeeded"
    log = b"".join([piece async for piece in client.read_log("g", job.id)]).decode()
    assert f"TITAN_JOB_ID={job.id}" in log
    assert "TITAN_BROKER_URL" not in log


async def test_sigterm_while_idle(start: Start, client: Client) -> None:
    """An idle worker does not wait for the end of its long poll."""
    program = await start(TITAN_RUN="a=cat\nb=tac")
    (job,) = await client.enqueue("g", [NewJob(image="b")])
    await program.says(f"job {job.id}: succeeded")
    program.signal(signal.SIGINT)
    assert await program.end() == 0
    ends = [line.partition("worker.daemon.daemon: ")[2] for line in program.log.decode().splitlines()[-2:]]
    assert ends == ["stopping: 0 jobs running", "stopped: every job is reported or released"]


async def test_a_second_signal_stops_now(client: Client, start: Start, tmp_path: Path) -> None:
    """The second SIGTERM kills what runs at once; the exit code says that something is not reported."""
    await client.enqueue("g", [NewJob(image="hang")])
    program = await start("--run", f"hang=sh -c 'trap \"\" TERM; echo $$ >{tmp_path}/pid; sleep 60'")
    pid = int(await written(tmp_path / "pid"))
    program.signal(signal.SIGTERM)
    await program.says("stopping: 1 job running")
    program.signal(signal.SIGTERM)
    assert await program.end() == 1
    assert is_dead(pid)
    assert b"Traceback" not in program.log


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        ((), {}, b"At least one --run NAME='command', --config FILE or --app MODULE is needed."),
        (("--run", "a=cat", "--runner", "python"), {}, b"--app MODULE with something for --runner python is needed."),
        (("--run", "a=cat", "--runner", "magic"), {}, b"--runner"),
        (("--run", "cat"), {}, b"'cat' is not NAME='command arguments'"),
        (("--run", "a=cat", "--wait-s", "31"), {}, b"--wait-s"),
        (("--run", "a=cat"), {"TITAN_CONCURENCY": "3"}, b"TITAN_CONCURENCY"),
    ],
)
async def test_wrong_usage(start: Start, words: tuple[str, ...], variables: dict[str, str], said: bytes) -> None:
    """An option or a variable that is not right is named, and the exit code is 2."""
    program = await start(*words, **variables)
    assert await program.end() == 2
    assert said in program.log
