"""What an entry of worker.toml adds to a command: a folder, variables, a user, limits, the payload as a file."""

import os
import pwd
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.test_process import Ran, python, sh
from worker.jobs.outcome import Failed, Succeeded
from worker.table.entries import Limits

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may run as somebody else")


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def test_cwd_and_env(tmp_path: Path) -> None:
    """The command starts in the folder of its entry, with its variables after the worker's and before the group's."""
    entry = {"cwd": str(tmp_path), "env": {"LANG": "C", "A": "entry", "B": "entry"}}
    ran = sh('pwd; echo "$LANG $A $B"', entry=entry, env_vars={"B": "group"})
    assert await ran.end() == Succeeded()
    assert await ran.text() == f"{tmp_path}\nC entry group\n"


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A missing cwd is a failure with the reason."""
    outcome = await Ran("true", entry={"cwd": str(tmp_path / "no")}).end()
    assert outcome == Failed("not_started", "cannot run 'true': No such file or directory")


@root
@pytest.mark.parametrize("limits", [{}, {"open_files": 64}])
async def test_another_user(limits: dict[str, int]) -> None:
    """The command has the user's number, groups and home, and nothing of root's, with limits and without."""
    row = pwd.getpwnam("nobody")
    ran = sh("id -u; id -g; id -G; echo $HOME $USER", entry={"user": "nobody", "limits": Limits(**limits)})
    assert await ran.end() == Succeeded()
    assert await ran.text() == f"{row.pw_uid}\n{row.pw_gid}\n{row.pw_gid}\n{row.pw_dir} nobody\n"


async def test_a_user_that_does_not_exist() -> None:
    """The failure names the user."""
    outcome = await Ran("true", entry={"user": "nobody-here"}).end()
    assert outcome == Failed("not_started", "cannot run 'true': there is no user 'nobody-here'")


@root
async def test_the_payload_in_a_file(monkeypatch: pytest.MonkeyPatch, open_to_all: Path) -> None:
    """TITAN_PAYLOAD_FILE names a file with the payload, which only the command's user may read and which goes."""
    monkeypatch.setattr("tempfile.tempdir", str(open_to_all))
    entry = {"payload": "file", "user": "nobody", "limits": Limits(open_files=64)}
    ran = sh('cat "$TITAN_PAYLOAD_FILE"; stat -c " %a %U %n" "$TITAN_PAYLOAD_FILE"; cat', entry=entry, payload="höher")
    assert await ran.end() == Succeeded()
    assert (await ran.text()).startswith("höher 600 nobody ")
    assert not open_to_all.joinpath(Path((await ran.text()).split()[-1]).name).exists()


async def test_an_allocation_past_the_limit() -> None:
    """A command that needs more memory than its entry allows does not get it; the worker continues."""
    ran = python("x = bytearray(1 << 30)", entry={"limits": Limits(memory_bytes=256 << 20)})
    assert await ran.end() == Failed("bad_exit", "exit code 1: MemoryError")
    assert "MemoryError" in await ran.text()
    assert await python("x = bytearray(1 << 20)", entry={"limits": Limits(memory_bytes=256 << 20)}).end() == Succeeded()


async def test_cpu_past_the_limit() -> None:
    """A command that computes for longer than its entry allows is killed, and the error says why."""
    ran = sh("while :; do :; done", entry={"limits": Limits(cpu_s=1)})
    assert await ran.end() == Failed("killed", "killed by SIGXCPU: used more than its 1 s of CPU")
    assert ran.usage is not None
    assert ran.usage.signal == "SIGXCPU"
    assert 0.5 < (ran.usage.cpu_s or 0) < 2


async def test_limits_are_there_from_the_first_instruction() -> None:
    """The command sees each limit of its entry, its own arguments and its own name."""
    limits = Limits(memory_bytes=1 << 30, cpu_s=7, open_files=33, processes=1000)
    ran = sh("ulimit -v; ulimit -t; ulimit -n; grep processes /proc/self/limits", entry={"limits": limits})
    assert await ran.end() == Succeeded()
    *lines, processes = (await ran.text()).splitlines()
    assert lines == [str((1 << 30) // 1024), "7", "33"]
    assert processes.split()[2:4] == ["1000", "1000"]


async def test_a_limited_command_that_is_not_there() -> None:
    """The failure and the log say that the command cannot be run; an exit code of 126 is the command's own."""
    ran = Ran("/nowhere", entry={"limits": Limits(open_files=64)})
    assert await ran.end() == Failed("not_started", "cannot run '/nowhere': No such file or directory")
    own = sh("exit 126", entry={"limits": Limits(open_files=64)})
    assert await own.end() == Failed("bad_exit", "exit code 126")
    assert await ran.text() == "cannot run '/nowhere': No such file or directory\n"


async def test_what_a_run_used() -> None:
    """The usage has the exit code, the CPU and the most memory, where that is more than the worker's own."""
    size_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + (200 << 20)
    ran = python(f"x = bytearray({size_bytes}); sum(range(3_000_000)); raise SystemExit(3)")
    await ran.end()
    assert ran.usage is not None
    assert (ran.usage.exit_code, ran.usage.signal) == (3, None)
    assert (ran.usage.max_rss_bytes or 0) > size_bytes
    assert (ran.usage.cpu_s or 0) > 0.01


async def test_a_gigabyte_of_output() -> None:
    """A job that prints 1 GiB succeeds; the worker keeps as much as its setting allows and counts the rest."""
    ran = Ran("head", "-c", str(1 << 30), "/dev/zero", keep_bytes=1000)
    assert await ran.end() == Succeeded()
    assert ran.log.cut_bytes == (1 << 30) - 1000
