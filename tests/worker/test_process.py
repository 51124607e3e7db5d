"""The process runner: how a command is started, its outcome, and that no process of it is left."""

import asyncio
import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.models.jobs import Job
from broker.models.retries import Retry
from tests.conftest import eventually
from tests.worker.watching import children, is_dead, open_files
from worker.jobs.outcome import Dropped, Failed, Outcome, Released, Succeeded, Usage
from worker.jobs.output import Output
from worker.runners.process import ProcessRunner
from worker.table.entries import ProcessEntry

PASSED_ON = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
IGNORES_TERM = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


def job(image: str = "it", **fields: Any) -> Job:
    """A job as `next` hands it out."""
    given = {"id": "0" * 16, "group_name": "g", "status": "running", "created_at": "2026-11-23T00:00:00.000Z"}
    return Job(image=image, **(given | fields))


_logs: list[Output] = []


@pytest.fixture(autouse=True)
def _close_logs() -> Iterator[None]:
    yield
    while _logs:
        _logs.pop().close()


class Ran:
    """One run: its outcome and what it printed."""

    def __init__(
        self, *argv: str, kill_after_s: float = 10, keep_bytes: int = 1 << 20, entry: Any = None, **fields: Any
    ) -> None:
        self.log = Output(keep_bytes)
        _logs.append(self.log)
        self.runner = ProcessRunner(PASSED_ON, kill_after_s=kill_after_s, give_back_s=30)
        self.entry = ProcessEntry(argv, **(entry or {}))
        self.usage: Usage | None = None
        self.result, self.note = b"", ""
        self.job = job(**fields)

    async def end(self) -> Outcome:
        """Run it to its end; the outcome, apart from what it used."""
        outcome = await self.runner.run(self.entry, self.job, self.log)
        if isinstance(outcome, Released | Dropped):
            return outcome
        self.usage = outcome.usage
        if isinstance(outcome, Succeeded):
            self.result, self.note = outcome.result, outcome.note
            return Succeeded()
        return msgspec.structs.replace(outcome, usage=None)

    async def text(self) -> str:
        """What it printed."""
        return b"".join([piece async for piece in self.log.pieces()]).decode()


def sh(script: str, **options: Any) -> Ran:
    """A run of a shell script."""
    return Ran("sh", "-c", script, **options)


def python(script: str, **options: Any) -> Ran:
    """A run of a Python script."""
    return Ran(sys.executable, "-c", script, **options)


async def test_exit_0_is_a_success() -> None:
    """A command that exits with 0 succeeded."""
    assert await Ran("true").end() == Succeeded()


async def test_another_exit_code_is_a_bad_exit() -> None:
    """Any other exit code is a failure that names the code."""
    assert await sh("exit 3").end() == Failed("bad_exit", "exit code 3")


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("exit 65", Failed("bad_exit", "exit code 65", retry=False)),
        ("exit 75", Failed("temporary", "exit code 75")),
        ("echo Retry-After: 30; exit 75", Failed("temporary", "exit code 75: Retry-After: 30", retry_after_s=30)),
        ("echo Retry-After: soon; exit 75", Failed("temporary", "exit code 75: Retry-After: soon")),
        ("echo Retry-After: 30; exit 3", Failed("bad_exit", "exit code 3: Retry-After: 30")),
    ],
)
async def test_exit_codes_that_speak_of_retries(script: str, outcome: Failed) -> None:
    """With a retry policy 65 ends the job, and 75 is worth another try, after a wait that the last line may name."""
    assert await sh(script, retry=Retry()).end() == outcome
    plain = await sh(script).end()
    assert plain == Failed("bad_exit", outcome.error)


@pytest.mark.parametrize(
    ("script", "last"),
    [
        ("echo one; echo two >&2; exit 3", "two"),
        ("printf 'two\\n\\n  \\n'; exit 3", "two"),
        (r"printf '10 %%\r\033[31mno such user\033[0m\a'; exit 3", "no such user"),
        ("head -c 100000 /dev/zero | tr '\\0' x; echo; echo two; exit 3", "two"),
        ("head -c 100000 /dev/zero | tr '\\0' x; exit 3", "x" * 299 + "…"),
        (r"printf '\377\n'; exit 3", "\ufffd"),
    ],
)
async def test_a_bad_exit_has_the_last_line(script: str, last: str) -> None:
    """The error has the last line of the output that has a text, without colours, and at most 300 characters of it."""
    assert await sh(script).end() == Failed("bad_exit", f"exit code 3: {last}")


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGTERM"])
async def test_death_by_a_signal_is_killed(name: str) -> None:
    """A command that a signal ended was killed; the error names the signal."""
    assert await sh(f"kill -{name[3:]} $$").end() == Failed("killed", f"killed by {name}")


async def test_death_by_a_signal_without_a_name() -> None:
    """A real-time signal has a number only."""
    assert await sh(f"kill -{signal.SIGRTMIN + 1} $$").end() == Failed(
        "killed", f"killed by signal {signal.SIGRTMIN + 1}"
    )


async def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    """A command that cannot be found is a failure with the reason."""
    missing = str(tmp_path / "nothing")
    assert await Ran(missing).end() == Failed("not_started", f"cannot run {missing!r}: No such file or directory")


async def test_a_command_that_may_not_be_run(tmp_path: Path) -> None:
    """A file that is not executable is a failure with the reason."""
    file = tmp_path / "plain"
    file.write_text("#!/bin/sh\n")
    assert await Ran(str(file)).end() == Failed("not_started", f"cannot run {str(file)!r}: Permission denied")


async def test_no_room_for_a_process_gives_the_job_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """That this machine has no room is not the job's fault."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("worker.runners.child_process.subprocess.Popen", full)
    assert await Ran("true").end() == Released(30)


async def test_the_payload_is_stdin() -> None:
    """The command reads the payload, to its end."""
    ran = Ran("cat", payload="höher\n" * 100_000)
    assert await ran.end() == Succeeded()
    assert await ran.text() == "höher\n" * 100_000


async def test_no_payload_is_an_empty_stdin() -> None:
    """A command that reads does not hang when there is no payload."""
    ran = Ran("cat")
    assert await ran.end() == Succeeded()
    assert ran.log.is_empty


@pytest.mark.parametrize("script", ["exit 0", "exec <&-; exit 0", "head -c 1 >/dev/null"])
async def test_a_payload_that_is_not_read(script: str) -> None:
    """A command that does not read its stdin, or not all of it, or closes it, is none the worse for it."""
    assert await sh(script, payload="x" * (1 << 20)).end() == Succeeded()


async def test_the_command_is_not_given_to_a_shell() -> None:
    """Arguments are passed exactly as the table has them."""
    ran = Ran("printf", "%s\n", "$HOME; echo *", "`id`")
    assert await ran.end() == Succeeded()
    assert await ran.text() == "$HOME; echo *\n`id`\n"


async def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job sees a safe part of the worker's environment, its group's variables, and what it is."""
    monkeypatch.setenv("TITAN_TOKEN", "secret")
    ran = Ran("env", deliveries=2, env_vars={"COLOUR": "blue\nand grey", "TITAN_JOB_ID": "no", "LANG": "C"})
    assert await ran.end() == Succeeded()
    assert sorted((await ran.text()).splitlines()) == sorted(
        [
            "COLOUR=blue",
            "and grey",
            "LANG=C",
            f"PATH={PASSED_ON['PATH']}",
            f"TITAN_JOB_ID={'0' * 16}",
            "TITAN_GROUP=g",
            "TITAN_DELIVERY=2",
            "TITAN_IMAGE=it",
            *[
                line
                for line in (await ran.text()).splitlines()
                if line.startswith(("TITAN_RESULT=/", "TITAN_PROGRESS=/"))
            ],
        ]
    )


async def test_a_group_cannot_choose_another_program(tmp_path: Path) -> None:
    """The command is looked up in the worker's PATH, not in the one of the group."""
    (tmp_path / "true").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "true").chmod(0o755)
    assert await Ran("true", env_vars={"PATH": str(tmp_path)}).end() == Succeeded()


async def test_stdout_and_stderr_are_one_log_in_order() -> None:
    """What is printed comes in the order of printing, whatever bytes it is."""
    ran = sh("echo 1; echo 2 >&2; echo 3; printf '\\377\\0' >&2")
    assert await ran.end() == Succeeded()
    assert b"".join([piece async for piece in ran.log.pieces()]) == b"1\n2\n3\n\xff\0"


async def test_much_output_is_cut() -> None:
    """The head and the tail are kept, and a line between them tells how much is missing."""
    ran = python("import sys; sys.stdout.write('x' * 3_000_000)", keep_bytes=1_000_000)
    assert await ran.end() == Succeeded()
    text = await ran.text()
    half = "x" * 500_000
    assert text == f"{half}\n[titan: 2000000 bytes of output were cut here]\n{half}"


async def test_a_timeout_asks_the_whole_group_to_end() -> None:
    """At the timeout TERM goes to every process of the job, and it failed even if it then ends well."""
    ran = sh(
        "sh -c 'trap \"echo child; exit\" TERM; sleep 20 & wait' & child=$!"
        "; trap 'wait $child; echo parent; exit 0' TERM; wait $child; wait",
        timeout=1,
    )
    assert await ran.end() == Failed("timeout", "ran longer than its timeout of 1 s")
    assert "parent" in await ran.text()
    assert "child" in await ran.text()


async def test_a_timeout_kills_what_ignores_term() -> None:
    """What does not end when asked is killed a little later, with its children."""
    ran = sh(f'sh -c "{IGNORES_TERM}" & echo $!; {IGNORES_TERM}', timeout=1, kill_after_s=0.1)
    began = time.monotonic()
    assert await ran.end() == Failed("timeout", "ran longer than its timeout of 1 s")
    assert 1.1 <= time.monotonic() - began < 3
    [child] = [int(line) for line in (await ran.text()).splitlines() if line.isdigit()]
    await eventually(lambda: is_dead(child))


async def test_children_left_behind_are_killed() -> None:
    """When the command has ended, its background processes are killed; they do not delay the report."""
    ran = sh("sleep 60 & echo $!")
    began = time.monotonic()
    assert await ran.end() == Succeeded()
    assert time.monotonic() - began < 3
    pid = int(await ran.text())
    await eventually(lambda: is_dead(pid))


async def test_a_child_that_left_the_group_does_not_hold_up_the_job() -> None:
    """A process in a session of its own lives on, but its hold on the output does not keep the job."""
    ran = python("import os, time\npid = os.fork()\nif not pid: os.setsid(); time.sleep(30)\nelse: print(pid)")
    began = time.monotonic()
    assert await ran.end() == Succeeded()
    assert time.monotonic() - began < 3
    with suppress(ProcessLookupError):
        os.kill(int(await ran.text()), signal.SIGKILL)


async def test_a_child_that_left_and_prints_for_ever_does_not_hold_up_the_job() -> None:
    """Nor does one that continues to print: it is read for half a second more and then no longer."""
    ran = python(
        "import os\nended, ends = os.pipe()\npid = os.fork()\nif pid: print(pid)\nelse:\n"
        " os.setsid(); os.close(ends); os.read(ended, 1)\n while True: os.write(1, b'x' * 4096)"
    )
    began = time.monotonic()
    assert await ran.end() == Succeeded()
    assert time.monotonic() - began < 3
    pid = int((await ran.text()).splitlines()[0])
    await eventually(lambda: is_dead(pid))  # nobody reads any more: it died of that


async def test_cancelling_kills_the_group() -> None:
    """A run that is cancelled kills all of its processes before it returns."""
    ran = sh(f"echo $$; {IGNORES_TERM}")
    run = asyncio.create_task(ran.end())
    await eventually(lambda: not ran.log.is_empty)
    pid = int((await ran.text()).splitlines()[0])
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert is_dead(pid)


async def test_without_pidfd_the_end_is_seen_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no pidfd a thread waits."""
    monkeypatch.delattr(os, "pidfd_open")
    assert await sh("sleep 60 & exit 4").end() == Failed("bad_exit", "exit code 4")


async def test_nothing_stays_open() -> None:
    """A run leaves no descriptor and no child behind."""
    before, before_children = open_files(), children()
    for ran in (Ran("cat", payload="x"), Ran("/nowhere"), sh("exit 1")):
        await ran.end()
        ran.log.close()
    assert open_files() == before
    assert children() == before_children


async def test_many_at_once() -> None:
    """Runs do not disturb each other."""
    runs = [sh(f"echo {n}; exit {n}") for n in range(1, 40)]
    outcomes = await asyncio.gather(*(ran.end() for ran in runs))
    assert outcomes == [Failed("bad_exit", f"exit code {n}: {n}") for n in range(1, 40)]
    assert [await ran.text() for ran in runs] == [f"{n}\n" for n in range(1, 40)]
