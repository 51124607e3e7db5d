"""The container runner, on podman: what a container may do, its outcome, and that it is always removed."""

import asyncio
import json
import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from broker.models.jobs import Job, NewJob
from tests.conftest import eventually
from tests.worker.conftest import Work, read_log
from tests.worker.containers import Running
from tests.worker.podman import IMAGE, Podman
from tests.worker.programs import Start
from worker.client import Client
from worker.daemon import linux
from worker.jobs.outcome import Failed, Outcome, Released, Succeeded
from worker.jobs.output import Output
from worker.jobs.progress import Said
from worker.runners.container import ending
from worker.runners.container_config import HOST, WORKER, is_left_behind, own_labels
from worker.table.entries import ContainerEntry

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("podman")]


OUT_OF_MEMORY = f"out of memory: it had {16 << 20} bytes"


async def test_the_payload_is_stdin_and_the_output_the_log(containers: Running) -> None:
    """A container reads its payload to the end; stdout and stderr are the log."""
    assert await containers.run("/bin/cat", payload="höher\n" * 20_000) == Succeeded()
    assert await containers.text() == "höher\n" * 20_000
    assert await containers.sh("echo err >&2; exit 0") == Succeeded()
    assert await containers.text() == "err\n"


async def test_the_result_of_a_container(containers: Running) -> None:
    """With `reports` a container has a file for its result. One that is too large is left out."""
    reports = {"entry": {"reports": True}}
    assert await containers.sh("echo '{\"pages\": 3}' >$TITAN_RESULT", **reports) == Succeeded()
    assert containers.result == b'{"pages":3}'
    assert await containers.sh("true", **reports) == Succeeded()
    assert containers.result == b""
    assert await containers.sh("head -c 300000 /dev/zero >$TITAN_RESULT", **reports) == Succeeded()
    assert (containers.result, containers.note) == (b"", "no result: it had 300000 bytes")
    assert await containers.sh('echo "<$TITAN_RESULT>"') == Succeeded()
    assert await containers.text() == "<>\n"


async def test_the_progress_of_a_container(
    containers: Running, engine: Podman, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `reports` the heartbeat gets what a container says last, also when it replaces a text of the same size."""
    monkeypatch.setattr("worker.runners.container_progress.EVERY_S", 0.05)
    script = """
        trap 'echo "90 near" >$TITAN_PROGRESS' USR1
        echo "40 half" >$TITAN_PROGRESS
        while :; do sleep 0.1; done
    """
    running = asyncio.create_task(containers.sh(script, entry={"reports": True}))
    await eventually(lambda: containers.logs and containers.logs[-1].progress.unsent() == Said(40, "half"), 60)
    engine("kill", "--signal", "USR1", engine("ps", "--quiet").strip())
    await eventually(lambda: containers.logs[-1].progress.unsent() == Said(90, "near"), 60)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_no_payload_is_an_empty_stdin(containers: Running) -> None:
    """A container that reads does not hang."""
    assert await containers.run("/bin/cat") == Succeeded()
    assert containers.logs[-1].is_empty


async def test_a_payload_that_is_not_read(containers: Running) -> None:
    """A container that does not read its payload is none the worse for it."""
    assert await containers.run("/bin/true", payload="x" * 1_000_000) == Succeeded()


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("exit 3", Failed("bad_exit", "exit code 3")),
        ("echo fine; echo no such user >&2; exit 3", Failed("bad_exit", "exit code 3: no such user")),
        ("(sh -c 'kill -9 $$'); exit $?", Failed("killed", "killed by SIGKILL")),
        ("(sh -c 'kill -SEGV $$'); exit $?", Failed("killed", "killed by SIGSEGV")),
    ],
)
async def test_exit_codes_and_signals_are_told_apart(containers: Running, script: str, outcome: Outcome) -> None:
    """An exit code is a bad exit; 128 and a signal's number is a death by that signal."""
    assert await containers.sh(script) == outcome


async def test_out_of_memory_is_killed(containers: Running) -> None:
    """A container that needs more than its memory is killed; the error says why when the engine knows it."""
    entry = {"memory_bytes": 16 << 20, "tmp_bytes": 0}
    outcome = await containers.sh("x=$(head -c 100000000 /dev/zero | cat -v); echo ${#x}", entry=entry)
    assert outcome in (Failed("killed", OUT_OF_MEMORY), Failed("killed", "killed by SIGKILL"))
    job = Job(id="x" * 16, group_name="g", status="running", image="i", created_at="")
    said = ending({"ExitCode": 137, "OOMKilled": True}, ContainerEntry(memory_bytes=16 << 20), job, Output(0))
    assert isinstance(said, Failed)
    assert (said.reason, said.error) == ("killed", OUT_OF_MEMORY)


async def test_a_timeout_ends_the_container(containers: Running) -> None:
    """At the job's timeout TERM, then KILL."""
    assert await containers.sh("trap '' TERM; while :; do sleep 0.1; done", timeout=2) == Failed(
        "timeout", "ran longer than its timeout of 2 s"
    )


async def test_cancelling_removes_the_container(containers: Running, engine: Podman) -> None:
    """A run that is cancelled has killed and removed its container before it returns."""
    run = asyncio.create_task(containers.sh("echo ready; sleep 60"))
    await eventually(lambda: bool(containers.logs) and not containers.logs[0].is_empty)
    (labels,) = [row["Labels"] for row in json.loads(engine("ps", "--format", "json"))]
    assert labels["titan.job"] == "0" * 16
    run.cancel()
    with suppress(asyncio.CancelledError):
        await run
    assert run.cancelled()
    assert engine("ps", "--all", "--quiet") == ""


async def test_a_container_may_do_little(containers: Running) -> None:
    """No network, no capability, no new privileges, no root, a read-only root, few processes, some room in /tmp."""
    script = (
        "id -u; grep -E 'CapEff|CapPrm|CapBnd|NoNewPrivs' /proc/self/status; ls /sys/class/net"
        "; touch /file 2>&1; touch /tmp/file && echo wrote; head -c 5000000 /dev/zero >/tmp/big 2>&1 || echo full"
    )
    assert await containers.sh(script, entry={"tmp_bytes": 1 << 20}) == Succeeded()
    text = await containers.text()
    assert text.startswith("65534\n")
    assert [line.split()[1] for line in text.splitlines() if line.startswith("Cap")] == ["0" * 16] * 3
    assert "NoNewPrivs:\t1" in text
    assert "\nlo\n" in text
    assert "eth0" not in text
    assert "/file: Read-only file system" in text
    assert "wrote" in text
    assert text.endswith("full\n")


async def test_processes_are_limited(containers: Running) -> None:
    """A fork bomb hits the container's own limit. The engine's own threads at its start must fit into that, too."""
    script = "n=0; while [ $n -lt 64 ]; do sleep 1 & n=$((n + 1)); done; wait"
    await containers.sh(script, entry={"processes": 32})
    assert "fork" in await containers.text()


async def test_cpus_are_limited(containers: Running, engine: Podman) -> None:
    """A container has the CPUs of its entry, one unless it says otherwise."""
    for entry, cpus in (({}, 1.0), ({"cpus": 0.5}, 0.5)):
        run = asyncio.create_task(containers.sh("sleep 60", entry=entry))
        await eventually(lambda: engine("ps", "--quiet"), 20)
        assert (
            float(engine("inspect", "--format", "{{.HostConfig.NanoCpus}}", engine("ps", "--quiet").strip()))
            == cpus * 1e9
        )
        run.cancel()
        with suppress(asyncio.CancelledError):
            await run


async def test_an_entry_may_allow_more(containers: Running) -> None:
    """User, network, root file system and variables are the entry's; those of group and job come on top."""
    entry = {"user": "0:0", "read_only": False, "network": "host", "env": {"A": "entry", "B": "entry"}}
    assert await containers.sh("id -u; touch /file && env", entry=entry, env_vars={"B": "group"}) == Succeeded()
    lines = set((await containers.text()).splitlines())
    assert {"0", "A=entry", "B=group", f"TITAN_JOB_ID={'0' * 16}"} <= lines
    assert await containers.sh("ls /sys/class/net", entry=entry) == Succeeded()
    assert set((await containers.text()).split()) == {name for _, name in socket.if_nameindex()}


async def test_an_image_that_is_not_there(containers: Running) -> None:
    """With `never` nothing is pulled; otherwise the pull fails, and the error says of what."""
    outcome = await containers.run("true", image="localhost/no-such:1")
    assert isinstance(outcome, Failed)
    assert "localhost/no-such:1" in outcome.error
    outcome = await containers.run("true", image="127.0.0.1:1/no-such:1", entry={"pull": "missing"})
    assert isinstance(outcome, Failed)
    assert outcome.reason == "not_started"
    assert "127.0.0.1:1/no-such:1" in outcome.error


async def test_an_image_that_is_there_is_not_pulled(containers: Running) -> None:
    """With `missing` an image that exists is used without a pull."""
    assert await containers.run("/bin/true", entry={"pull": "missing"}) == Succeeded()
    assert containers.logs[-1].is_empty


async def test_a_command_that_is_not_there(containers: Running) -> None:
    """A container that cannot start is a failure with the reason."""
    outcome = await containers.run("/nowhere")
    assert isinstance(outcome, Failed)
    assert outcome.reason == "not_started"
    assert "/nowhere" in outcome.error


async def test_without_an_engine_the_job_goes_back(tmp_path: Path) -> None:
    """That there is no engine is not the job's fault."""
    running = Running(f"unix://{tmp_path}/nothing.sock")
    assert await running.run("/bin/true") == Released(30)
    await running.runner.aclose()


async def test_containers_of_a_killed_worker_are_removed(containers: Running, engine: Podman) -> None:
    """A worker removes what a worker of this machine that is gone left behind, and nothing of one that lives."""
    assert not is_left_behind(own_labels())
    gone = {HOST: own_labels()[HOST], WORKER: f"{os.getpid()}/{int(linux.started_at(os.getpid())) - 1}"}
    for labels in (gone, own_labels(), {HOST: "elsewhere", WORKER: "1/1"}, {"other": "thing"}):
        words = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
        engine("run", "--detach", "--network", "none", *words, IMAGE, "/bin/sleep", "60")
    assert await containers.run("/bin/true") == Succeeded()
    left = [row["Labels"] or {} for row in json.loads(engine("ps", "--all", "--format", "json"))]
    assert len(left) == 3
    assert gone not in left
    engine("rm", "--all", "--force", "--time", "0")


async def test_a_worker_runs_allowed_images_only(
    client: Client, work: Work, engine: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image of a job is the container's, when a pattern of the table allows it."""
    monkeypatch.setenv("DOCKER_HOST", engine.address)
    (tmp_path / "worker.toml").write_text('[container."localhost/titan-*"]\npull = "never"\ncommand = ["/bin/cat"]\n')
    ours, other = await client.enqueue("g", [NewJob(image=IMAGE, payload="hello"), NewJob(image="localhost/evil:1")])
    worker = work(config=str(tmp_path / "worker.toml"), give_back_s=3600)
    await worker.until("logged", ours)
    assert await read_log(client, ours) == b"hello"
    assert (await client.show("g", other.id)).status in ("queued", "delayed")


async def test_a_worker_that_starts_removes_what_a_killed_one_left(
    client: Client, start: Start, engine: Podman, tmp_path: Path
) -> None:
    """After SIGKILL of a worker the next one removes its container at the start."""
    config = tmp_path / "worker.toml"
    config.write_text(f'[container."{IMAGE}"]\npull = "never"\ncommand = ["/bin/sleep", "60"]\n')
    [job] = await client.enqueue("g", [NewJob(image=IMAGE)])
    ours = ("ps", "--all", "--quiet", "--filter", f"label=titan.job={job.id}")
    first = await start("--config", str(config), DOCKER_HOST=engine.address)
    await eventually(lambda: engine(*ours, "--filter", "status=running"), 30)
    first.started.kill()
    await first.end()
    assert engine(*ours)
    second = await start("--config", str(config), "--group", "other", DOCKER_HOST=engine.address)
    await second.says("left behind by a worker that is gone")
    await eventually(lambda: not engine(*ours), 30)
