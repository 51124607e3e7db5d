"""The table of what a worker can run: where entries come from, how they are looked up, and what is refused."""

import re
import textwrap
from pathlib import Path

import pytest

from broker.models.jobs import Job
from worker.jobs.outcome import Outcome, Released, Succeeded
from worker.jobs.output import Output
from worker.runners.by_entry import RunnerByEntry
from worker.settings import WorkerSettings
from worker.table.entries import ContainerEntry, HttpEntry, Limits, ProcessEntry
from worker.table.table import Table, Tables, read_table

FILE = """
    [process.resize]
    argv = ["convert", "-", "out.png"]
    cwd = "/srv"
    env = {COLOUR = "blue"}
    user = "nobody"
    payload = "file"
    limits = {memory_bytes = 1_000_000, cpu_s = 60, open_files = 64, processes = 10}

    [container."registry.example/tools/*"]
    pull = "always"
    command = ["run"]

    [http."https://hooks.example/in/*"]
    headers = {X-Key = "k"}

    [http."http://127.0.0.1:9/one?a=b"]
"""


def read(tmp_path: Path, text: str, *run: str) -> Table:
    """The table of a file and --run entries."""
    file = tmp_path / "worker.toml"
    file.write_text(textwrap.dedent(text))
    return read_table(WorkerSettings(config=str(file), run=run))


def test_run_entries_are_split_as_a_shell_would() -> None:
    """Quotes hold arguments together; nothing is expanded; the first = ends the name."""
    table = read_table(WorkerSettings(run=("a=cat", "b=sh -c 'echo $HOME; x=1' \"two words\" *")))
    assert table.entry("a") == ProcessEntry(("cat",))
    assert table.entry("b") == ProcessEntry(("sh", "-c", "echo $HOME; x=1", "two words", "*"))
    assert table.names == ["a", "b"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (("cat",), "'cat' is not NAME='command arguments'"),
        (("=cat",), "'=cat' is not NAME='command arguments'"),
        (("a=",), "'a=' has no command"),
        (("a=sh -c 'x",), "cannot be split into arguments: No closing quotation"),
        (("a=cat", "a=tac"), "'a' is in the table twice"),
    ],
)
def test_a_wrong_run_entry_is_quoted(entries: tuple[str, ...], message: str) -> None:
    """An entry that cannot be read is named in the error."""
    with pytest.raises(ValueError, match=re.escape(message)):
        read_table(WorkerSettings(run=entries))


def test_a_file_has_entries_of_each_kind(tmp_path: Path) -> None:
    """Commands by name, containers by pattern, addresses exactly or as a folder; --run adds to them."""
    table = read(tmp_path, FILE, "more=cat")
    limits = Limits(memory_bytes=1_000_000, cpu_s=60, open_files=64, processes=10)
    assert table.entry("resize") == ProcessEntry(
        ("convert", "-", "out.png"), "/srv", {"COLOUR": "blue"}, "nobody", limits, "file"
    )
    assert table.entry("more") == ProcessEntry(("cat",))
    assert table.entry("registry.example/tools/x:1") == ContainerEntry(pull="always", command=("run",))
    assert table.entry("registry.example/other") is None
    assert table.entry("https://hooks.example/in/a/b?c=d") == HttpEntry(headers={"X-Key": "k"})
    assert table.entry("http://127.0.0.1:9/one?a=b") == HttpEntry()
    assert table.names is None


@pytest.mark.parametrize(
    ("kind", "images"),
    [
        ("process", {"resize", "more"}),
        ("container", {"registry.example/tools/x:1"}),
        ("http", {"http://127.0.0.1:9/one?a=b"}),
        ("python", {"noop"}),
        ("", {"resize", "more", "registry.example/tools/x:1", "http://127.0.0.1:9/one?a=b", "noop"}),
    ],
)
def test_a_runner_leaves_out_what_others_run(tmp_path: Path, kind: str, images: set[str]) -> None:
    """With --runner only the entries of that kind are in the table."""
    (tmp_path / "worker.toml").write_text(FILE)
    settings = {"config": str(tmp_path / "worker.toml"), "run": ("more=cat",), "app": ("tests.bench.noop",)}
    table = read_table(WorkerSettings(**settings, runner=kind))
    every = ("resize", "more", "registry.example/tools/x:1", "http://127.0.0.1:9/one?a=b", "noop")
    assert {image for image in every if table.entry(image)} == images
    assert table.kinds == (kind or "container, http, process, python")


@pytest.mark.parametrize(
    "image",
    [
        "https://hooks.example/in",
        "https://hooks.example/into",
        "http://hooks.example/in/a",
        "https://hooks.example:444/in/a",
        "https://hooks.example.evil/in/a",
        "https://user@hooks.example/in/a",
        "https://evil@hooks.example/in/a",
        "https://evil.example/https://hooks.example/in/a",
        "https://hooks.example/in/../admin",
        "https://hooks.example/in/%2e%2e/admin",
        "https://hooks.example/in/%252e%252e/admin",
        "https://hooks.example/in/..%2fadmin",
        "https://hooks.example/in/..\\admin",
        "https://hooks.example/in/a#b",
        "https://",
        "http://[",
        "http://127.0.0.1:9/one",
        "http://127.0.0.1:9/one?a=c",
    ],
)
def test_an_address_that_is_not_allowed(tmp_path: Path, image: str) -> None:
    """Nothing but the addresses of the list, however it is written, and no container of that name."""
    assert read(tmp_path, FILE + '\n    [container."*"]').entry(image) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[process.a]\nargv = ['cat']\narg = 1", "[process.'a']: Object contains unknown field `arg`"),
        ("[process.a]\nargv = 'cat'", "[process.'a']: Expected `array`, got `str` - at `argv`"),
        ("[process.a]\nargv = []", "[process.'a']: Expected `array` of length >= 1 - at `argv`"),
        ("[process.a]\nargv = ['x']\nlimits = {cpu = 1}", "unknown field `cpu` - at `limits`"),
        ("[container.a]\nmemory_bytes = 1", "Expected `int` >= 6291456 - at `memory_bytes`"),
        ("[container.a]\npull = 'often'", "Invalid enum value 'often' - at `pull`"),
        ("[http.'ftp://x/']", "[http.'ftp://x/']: it is not an address"),
        ("[http.'https://*.example/']", "it is not an address"),
        ("[http.'https://example/a*']", "it is not an address"),
        ("[proces.a]\nargv = ['cat']", "[proces] is none of [process.NAME]"),
        ("process = 1", "process is not a table"),
        ("argv = [", "worker.toml: "),
    ],
)
def test_a_file_that_is_not_right_names_the_key(tmp_path: Path, text: str, message: str) -> None:
    """The error names the file, the entry and the key."""
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "worker.toml"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(ValueError, match=r"nothing\.toml: No such file"):
        read_table(WorkerSettings(config=str(tmp_path / "nothing.toml")))


def test_reload_takes_a_file_whole_or_not_at_all(tmp_path: Path) -> None:
    """A file that is not right leaves the table as it was."""
    file = tmp_path / "worker.toml"
    file.write_text("[process.a]\nargv = ['cat']")
    tables = Tables(WorkerSettings(config=str(file)))
    file.write_text("[process.b]\nargv = ['tac']\n[process.c]")
    with pytest.raises(ValueError, match="argv"):
        tables.reload()
    assert tables.current.names == ["a"]
    file.write_text("[process.b]\nargv = ['tac']")
    tables.reload()
    assert tables.current.names == ["b"]


class Says:
    """A runner that notes what it is given."""

    def __init__(self) -> None:
        self.ran: list[tuple[object, str]] = []

    async def run(self, entry: object, job: Job, _log: Output) -> Outcome:
        """Succeed."""
        self.ran.append((entry, job.image))
        return Succeeded()

    async def open(self) -> None:
        """Nothing is made ready."""

    async def aclose(self) -> None:
        """Nothing is held."""


async def test_each_job_is_looked_up_when_it_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A reload holds for the next job. A job that cannot run is released, and the log has one line for each image."""
    file = tmp_path / "worker.toml"
    file.write_text("[process.a]\nargv = ['cat']")
    tables, says = Tables(WorkerSettings(config=str(file))), Says()
    choice = RunnerByEntry(tables, {ProcessEntry: lambda: says}, give_back_s=30)
    job = Job(id="0" * 16, group_name="g", status="running", created_at="2026-11-23T00:00:00.000Z", image="b\x1b")
    log = Output(10)
    assert await choice.run(job, log) == Released(30)
    assert await choice.run(job, log) == Released(30)
    assert [record.getMessage().count("'b\\x1b'") for record in caplog.records] == [1]
    file.write_text('[process."b\\u001b"]\nargv = ["tac"]')
    tables.reload()
    assert await choice.run(job, log) == Succeeded()
    assert says.ran == [(ProcessEntry(("tac",)), "b\x1b")]
    log.close()
