"""`titan redis`, with a real server and with programs that replace redis-cli."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from broker.embedded.server import package_cli
from tests.cli.live import Titan

PRINTS = '#!/bin/sh\nprintf "%s\\n" "$@"\nprintf "auth=%s\\n" "$REDISCLI_AUTH"\nexit 7\n'
"""A redis-cli that prints its arguments and password."""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def stand_in(path: Path, text: str) -> None:
    """A program with this text."""
    path.write_text(text)
    path.chmod(0o755)


def run(titan: Titan, *words: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run `titan redis` as a process, since redis-cli writes to the terminal itself."""
    with titan.process("redis", *words, **options) as process:
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def test_redis_passes_words_on(titan: Titan, valkey_url: str) -> None:
    """What follows -- is a command of redis-cli, which runs on the store of the options."""
    if shutil.which("redis-cli") is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)("redis-cli is not here: apt-get install redis-tools")
    done = run(titan, "--redis-url", valkey_url, "--", "ECHO", "two words")
    assert (done.returncode, done.stdout) == (0, b"two words\n"), done.stderr


def test_redis_opens_the_embedded_store(titan: Titan, programs: Path, tmp_path: Path) -> None:
    """Without --redis-url it opens the socket in the data folder, whose store is started when no broker runs."""
    stand_in(programs / "redis-cli", '#!/bin/sh\n[ -S "$2" ] && echo "$1 is a socket"\n')
    data = tmp_path / "data"
    data.mkdir()
    done = run(titan, "--data-dir", str(data))
    assert (done.returncode, done.stdout) == (0, b"-s is a socket\n"), done.stderr


def test_redis_keeps_the_password_off_the_command_line(titan: Titan, programs: Path) -> None:
    """The address's password is in the environment of redis-cli, and its exit code is the command's."""
    stand_in(programs / "redis-cli", PRINTS)
    done = run(titan, "--redis-url", "redis://ann:swordfish@db.example/2", "--", "--stat")
    lines = done.stdout.decode().splitlines()
    assert lines == ["-h", "db.example", "-p", "6379", "-n", "2", "--user", "ann", "--stat", "auth=swordfish"]
    assert done.returncode == 7


def test_redis_takes_valkey_cli(titan: Titan, programs: Path) -> None:
    """Where there is no redis-cli, valkey-cli is as good."""
    stand_in(programs / "valkey-cli", PRINTS)
    assert b"auth=\n" in run(titan, "--redis-url", "redis://db.example").stdout


def test_redis_without_a_program(titan: Titan, programs: Path) -> None:
    """Where there is neither, the error is one line that says what to install."""
    assert list(programs.iterdir()) == []
    if package_cli() is not None:
        pytest.skip("the package of the embedded store has a valkey-cli")
    done = run(titan, "--redis-url", "redis://db.example")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"apt-get install redis-tools" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("group", "port"), [("mail", "7002"), ("images", "7001")])
def test_redis_opens_the_server_of_a_group(titan: Titan, programs: Path, group: str, port: str) -> None:
    """With several servers, --group names the one that holds the group."""
    stand_in(programs / "redis-cli", PRINTS)
    url = "redis://db.example:7001/0,redis://db.example:7002/0"
    done = run(titan, "--redis-url", url, "--partitions", "2", "--group", group)
    assert done.stdout.decode().split()[3] == port


def test_redis_leaves_ctrl_c_to_redis_cli(titan: Titan, programs: Path) -> None:
    """Ctrl-C reaches both: redis-cli decides what it means, and titan ends after it, with its exit code."""
    stand_in(programs / "redis-cli", "#!/bin/sh\ntrap 'exit 9' INT\necho ready\nwhile :; do :; done\n")
    words = ("redis", "--redis-url", "redis://db.example")
    with titan.process(*words, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 9


def test_redis_sentinels_that_do_not_answer(titan: Titan, programs: Path) -> None:
    """When no sentinel answers, the error is one line and redis-cli is not started."""
    stand_in(programs / "redis-cli", PRINTS)
    done = run(titan, "--redis-url", "redis+sentinel://127.0.0.1:1/mymaster")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"mymaster" in done.stderr
