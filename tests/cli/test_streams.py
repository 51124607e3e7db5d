"""Standard streams that nobody reads, that are full or that are closed, of every command."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from broker.cli.streams import safe_streams
from tests.cli.forks import End
from tests.cli.live import BrokerThread, Titan
from tests.cli.tree import commands

pytestmark = pytest.mark.slow
READER_GONE = 141
WORKER = ("list", "status", "quiet", "resume", "drain")
TOP = Path(__file__).parents[2]
ALL = [words for words, _ in commands()]
QUIET = {
    ("broker",),
    ("worker",),
    ("check",),
    ("bench",),
    ("test",),
    ("redis",),
    *((("worker", name)) for name in WORKER),
    ("broker", "list"),
    ("migrate",),
}
"""Commands that print nothing on stdout here: they fail, find nothing, or speak on stderr only."""
FAILING = {
    "job wait": {1},
    "redis": {1},
    "migrate": {1},
    "context delete": {0, 1},
    "worker": {0, 1, 2},
    "broker": {1},
    "broker list": {0},
    "doctor": {0, 1},
}
"""Exit codes here other than 0."""


class Scene(NamedTuple):
    """What commands work on: the words that each command gets here, in a broker where each of them has its jobs."""

    titan: Titan
    group: str
    folder: Path
    broker: BrokerThread

    def words(self, command: tuple[str, ...]) -> tuple[str, ...]:
        """A command with all that it needs to print something."""
        return (*command, *self._arguments(command))

    def _arguments(self, command: tuple[str, ...]) -> tuple[str, ...]:
        folder, group = str(self.folder), self.group
        known: dict[tuple[str, ...], Callable[[], tuple[str, ...]]] = {
            ("up",): lambda: ("--data-dir", folder, "--port", "0"),
            ("broker",): lambda: ("--data-dir", "/dev/null", "--port", "0"),
            ("worker",): lambda: ("--run", "broken"),
            ("check",): lambda: ("--data-dir", folder),
            ("export",): lambda: ("--data-dir", folder),
            ("import",): lambda: (self._export(), "--data-dir", folder, "--merge", "--live"),
            ("doctor",): lambda: ("--data-dir", folder),
            ("migrate",): lambda: ("--data-dir", f"{folder}/none"),
            ("bench",): lambda: ("--only", "W1", "--seconds", "0.1", "--jobs", "1000"),
            ("test",): lambda: ("--version", "-n0"),
            ("redis",): lambda: ("--data-dir", f"{folder}/none"),
            ("token", "new"): lambda: ("--scope", "read", "--tokens", f"{folder}/tokens"),
            ("token", "list"): lambda: ("--tokens", self._tokens("list")),
            ("token", "revoke"): lambda: ("web", "--tokens", self._tokens("revoke")),
            ("context", "add"): lambda: ("d",),
            ("context", "list"): tuple,
            ("context", "use"): lambda: ("b",),
            ("context", "delete"): lambda: ("c",),
            ("completion",): lambda: ("bash",),
            ("job", "next"): lambda: ("--group", group),
            ("job", "enqueue"): lambda: (group, "--image", "x"),
            ("job", "list"): lambda: (group, "-n", "1"),
            ("bulk", "list"): lambda: ("-n", "1"),
            ("group", "list"): tuple,
            **{("bulk", name): lambda: (self._bulk(),) for name in ("show", "stop")},
            ("job", "find"): lambda: (self._job_for("find"),),
            **{("bulk", name): lambda: (group, "--dry-run") for name in ("retry", "cancel", "delete", "promote")},
            ("audit",): lambda: ("-n", "1"),
            ("order",): tuple,
            ("scale",): lambda: (group,),
            ("events",): tuple,
            ("top",): lambda: ("--plain",),
            ("flow", "run"): lambda: (group, self._flow("run")),
            **{("flow", name): lambda name=name: (group, self._job_for(name)) for name in ("show", "retry")},
            ("batch", "new"): lambda: (group, self._flow("batch")),
            ("batch", "add"): lambda: (group, self._batch(), self._flow("added")),
            ("batch", "list"): lambda: (group,),
            ("batch", "retry"): lambda: (group, self._failed_batch()),
            **{("batch", name): lambda: (group, self._batch()) for name in ("show", "close", "cancel")},
            ("job", "hold"): lambda: (group, self._job_for("hold"), "--after", self._job_for("why")),
            ("unique", "list"): lambda: (group,) if self._with_key("list") else (),
            ("unique", "show"): lambda: (group, self._with_key("show")),
            ("unique", "free"): lambda: (group, self._with_key("free")),
            **{
                ("schedule", verb): lambda: (group, self._schedule(command[1]))
                for verb in ("show", "next", "fires", "run", "pause", "resume", "remove")
            },
            ("schedule", "list"): lambda: (group,) if self._schedule("list") else (),
            ("schedule", "set"): lambda: (group, "other", "--every", "60", "--image", "x"),
            ("schedule", "backfill"): lambda: (
                *(group, self._schedule("backfill"), "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T00:00:00Z"),
            ),
            ("group", "keys"): lambda: (group,) if self._in_lane() else (),
            ("group", "delete"): lambda: (group, "--cancel-jobs", "--dry-run"),
            ("group", "set"): lambda: (group, "--image", "hello"),
        }
        if command in known:
            return known[command]()
        if command == ("broker", "list"):
            return ()
        if command[0] == "worker":
            return () if command[1] == "list" else ("nobody",)
        if command[0] == "group":
            return (group,)
        if command[0] == "job":
            return (group, self._job_for(command[1]))
        assert command in {("config",), ("lua",), ("openapi",)}, f"{command} has no arguments here"
        return ()

    def _export(self) -> str:
        path = self.folder / "empty.ndjson"
        told = self.titan("export", "--data-dir", str(self.folder), "--output", str(path))
        assert told.code == 0, told.err
        return str(path)

    def _tokens(self, name: str) -> str:
        path = str(self.folder / f"tokens-{name}")
        for owner in ("web", "other"):
            self.titan("token", "new", "--scope", "read", "--name", owner, "--tokens", path)
        return path

    def _bulk(self) -> str:
        return str(self.titan("bulk", "cancel", self.group, "--dry-run", "--json").json["bulk"]["id"])

    def _in_lane(self) -> str:
        """A queued job with a key."""
        return self.titan("job", "enqueue", self.group, "--image", "x", "--job-key", "acme").out

    def _flow(self, key: str) -> str:
        path = self.folder / f"flow-{key}.toml"
        path.write_text(f'[[jobs]]\nimage = "x"\nunique = {{ key = "{key}" }}\n', "utf-8")
        return str(path)

    def _batch(self) -> str:
        """An open batch with a job."""
        made = self.titan("batch", "new", self.group, self._flow("batch"), "--open", "--json")
        return str(made.json["batch"]["id"])

    def _failed_batch(self) -> str:
        """A batch that has ended, and has a member that failed."""
        path = self.folder / "failed-batch.toml"
        path.write_text('name = "failed"\n', "utf-8")
        batch = str(self.titan("batch", "new", self.group, str(path), "--open", "--json").json["batch"]["id"])
        [job] = self.titan("batch", "add", self.group, batch, self._flow("failed"), "--json").json["jobs"]
        self.titan("job", "start", self.group, job["id"])
        self.titan("job", "fail", self.group, job["id"])
        self.titan("batch", "close", self.group, batch)
        self.broker.settle()
        return batch

    def _schedule(self, name: str) -> str:
        """A schedule of the group that has fired, for one command: another may remove its own."""
        words = (self.group, name, "--every", "3600", "--image", "x", "--overlap", "allow")
        assert self.titan("schedule", "set", *words).code == 0
        assert self.titan("schedule", "run", self.group, name).code == 0
        return name

    def _with_key(self, key: str) -> str:
        """A key that a job of the group holds."""
        assert self.titan("flow", "run", self.group, self._flow(key)).code == 0
        return key

    def _job_for(self, verb: str) -> str:
        if verb == "promote":
            later = self.titan("job", "enqueue", self.group, "--image", "x", "--delay", "600", "--json")
            return str(later.json["jobs"][0]["id"])
        job_id = self.titan.made(self.group)
        if verb in {"touch", "succeed", "fail", "release", "hold", "log", "result"}:
            job_id = str(self.titan("job", "start", self.group, job_id, "--json").json["job"]["id"])
        if verb == "log":
            self.titan("job", "log", self.group, job_id, "--send", "-", stdin="text\n")
        if verb == "result":
            self.titan("job", "succeed", self.group, job_id, "--result", "3")
        if verb in {"wait", "retry", "delete"}:
            self.titan("job", "cancel", self.group, job_id)
        return job_id


@pytest.fixture
def scene(
    titan: Titan, group: str, tmp_path: Path, broker_thread: BrokerThread, monkeypatch: pytest.MonkeyPatch
) -> Scene:
    """A group with jobs, and a folder. Lists of jobs, bulks and acts are longer here than what the command shows."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("a", "b", "c"):
        titan("context", "add", name)
    for _ in range(2):
        titan.made(group)
        titan("bulk", "cancel", group, "--dry-run")
    for verb in ("pause", "resume"):
        titan("group", verb, group)
    return Scene(titan, group, tmp_path, broker_thread)


def ended(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a command that must end without a signal."""
    try:
        return process.wait(60)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


def started(scene: Scene, words: tuple[str, ...], **streams: Any) -> subprocess.Popen[bytes]:
    """A command as a process; its stdin has nothing."""
    return scene.titan.process(*words, **{"stdin": subprocess.DEVNULL, **streams})


def ends(titan: Titan, words: list[tuple[str, ...]], stdout: str, stderr: str) -> dict[str, End]:
    """How commands end when their streams are so."""
    argv = [sys.executable, "-m", "tests.cli.forks", stdout, stderr]
    environment = os.environ | {"TITAN_BROKER_URL": titan.broker_url}
    done = subprocess.run(
        argv, input=json.dumps(words), env=environment, cwd=TOP, capture_output=True, text=True, timeout=100, check=True
    )
    found = [End(*json.loads(line)) for line in done.stdout.splitlines()]
    return {" ".join(one): end for one, end in zip(words, found, strict=True)}


def test_every_command_ends_quietly_when_nobody_reads(scene: Scene) -> None:
    """With nobody to read stdout a command says nothing of that, and has the exit code of every such program."""
    found = ends(scene.titan, [scene.words(command) for command in ALL if command not in QUIET], "gone", "file")
    assert {name: end for name, end in found.items() if end != (READER_GONE, "")} == {}


def test_every_help_ends_quietly_when_nobody_reads(titan: Titan) -> None:
    """The same of the help of each."""
    found = ends(titan, [(*command, "--help") for command in ALL], "gone", "file")
    assert {name: end for name, end in found.items() if end != (READER_GONE, "")} == {}


@pytest.mark.parametrize("stderr", ["gone", "full"])
def test_every_command_goes_on_when_nobody_reads_its_remarks(scene: Scene, stderr: str) -> None:
    """With nobody to read stderr, or with a full disk there, a command does what it does."""
    words = [scene.words(command) for command in ALL if command not in {("up",), ("bench",), ("test",)}]
    found = ends(scene.titan, words, "file", stderr)
    wrong = {
        name: end
        for name, end in found.items()
        if end.code not in FAILING.get(" ".join(name.split()[:2]), FAILING.get(name.split()[0], {0}))
    }
    assert wrong == {}


def test_every_command_names_a_full_disk(scene: Scene) -> None:
    """With stdout on a full disk a command ends with exit code 1 and one line. `titan up` continues to serve."""
    words = [(*command, "--help") if command in {*QUIET, ("up",)} else scene.words(command) for command in ALL]
    found = ends(scene.titan, words, "full", "file")
    expected = (1, "Error: The output cannot be written: No space left on device.\n")
    assert {name: end for name, end in found.items() if end != expected} == {}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_closed_descriptor_is_no_fault(scene: Scene, number: int) -> None:
    """A command whose stdin, stdout or stderr is closed works, and writes to nothing else in its place."""
    shell = f'exec "$@" {number}>&-'
    argv = ["sh", "-c", shell, "sh", sys.executable, "-m", "broker", "job", "list", scene.group]
    environment = os.environ | {"TITAN_BROKER_URL": scene.titan.broker_url}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("hello" in done.stdout) == (number != 1)


@pytest.mark.parametrize("command", [("log", "-f"), ("wait",)])
def test_a_command_that_waits_ends_with_its_reader(scene: Scene, command: tuple[str, ...]) -> None:
    """A command that has nothing to print ends when its reader leaves, without waiting for something to print."""
    job_id = str(scene.titan.taken(scene.group)["id"])
    with started(scene, ("job", *command, scene.group, job_id)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)  # it waits
        process.stdout.close()
        assert ended(process) == READER_GONE
        assert process.stderr.read() == b""


def test_a_pipe_that_would_block_is_waited_for(scene: Scene) -> None:
    """A pipe that somebody made non-blocking gets all that is printed, however slowly it is read."""
    theirs, ours = os.pipe()
    os.set_blocking(ours, False)
    with started(scene, ("openapi",), stdout=ours) as process:
        os.close(ours)
        time.sleep(1)  # the pipe is full by then
        with os.fdopen(theirs, "rb") as reader:
            text = reader.read()
        assert ended(process) == 0
    assert text.endswith(b"}\n")


def test_streams_of_others_stay(capsys: pytest.CaptureFixture[str]) -> None:
    """What a program that calls `titan` has put in the place of the streams is left there."""
    before = sys.stdout
    with safe_streams():
        assert sys.stdout is before
        print("seen")
    assert capsys.readouterr().out == "seen\n"
