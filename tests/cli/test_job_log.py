"""`titan job log`."""

import subprocess
from pathlib import Path

import pytest

from broker.models.jobs import Job
from broker.models.workers import Receipt
from tests.cli.live import Titan

RAW = b"\x1b[31mred\x1b[0m\n\x1b]0;title\x07two\r\nthree\xff\n"


@pytest.fixture
def job_id(titan: Titan, group: str) -> str:
    """A job that runs."""
    titan.made(group)
    return str(titan.taken(group)["id"])


@pytest.fixture
def logged(titan: Titan, group: str, job_id: str) -> str:
    """A job with a log of text that a terminal would obey."""
    assert titan("job", "log", group, job_id, "--send", "-", stdin=RAW).code == 0
    return job_id


def test_log_send(titan: Titan, group: str, job_id: str, tmp_path: Path) -> None:
    """A log is sent from a file; one that is sent again takes its place; --json prints the job."""
    for text in ("first\n", "second\n"):
        (tmp_path / "log").write_text(text)
        sent = titan("job", "log", group, job_id, "--send", str(tmp_path / "log"), "--json")
    assert sent.json["job"]["id"] == job_id
    assert titan("job", "log", group, job_id).out == "second\n"


@pytest.mark.slow
def test_log_piped(titan: Titan, group: str, logged: str) -> None:
    """A pipe gets every byte as it was sent."""
    with titan.process("job", "log", group, logged, stdin=subprocess.DEVNULL) as process:
        assert process.communicate(timeout=30) == (RAW, b"")


@pytest.mark.slow
def test_log_on_terminal(titan: Titan, group: str, logged: str) -> None:
    """A terminal gets no control characters and no colours (CVE-2009-4487)."""
    assert titan.on_terminal("job", "log", group, logged) == "red\r\ntwo\r\nthree\ufffd\r\n"


def test_log_tail(titan: Titan, group: str, logged: str) -> None:
    """--tail gives the last lines."""
    assert titan("job", "log", group, logged, "--tail", "2", "--json").json == {
        "log": "\x1b]0;title\x07two\r\nthree\ufffd\n"
    }


def test_log_to_file(titan: Titan, group: str, logged: str, tmp_path: Path) -> None:
    """--output writes the log to a file as it was sent."""
    assert titan("job", "log", group, logged, "-o", str(tmp_path / "out")) == (0, "", "")
    assert (tmp_path / "out").read_bytes() == RAW


def test_log_to_forbidden_file(titan: Titan, group: str, logged: str, tmp_path: Path) -> None:
    """A file that cannot be written is one line, not a traceback."""
    refused = titan("job", "log", group, logged, "-o", str(tmp_path / "no" / "out"))
    assert refused.code == 1
    assert refused.err.endswith("No such file or directory\n")


@pytest.mark.slow
def test_log_to_device(titan: Titan, group: str, logged: str) -> None:
    """A device is written to, not replaced."""
    with titan.process("job", "log", group, logged, "-o", "/dev/stdout", stdin=subprocess.DEVNULL) as process:
        assert process.communicate(timeout=30) == (RAW, b"")


def test_log_of_a_job_that_printed_nothing(titan: Titan, group: str, job_id: str, tmp_path: Path) -> None:
    """A job that printed nothing has an empty log, also in a file and as JSON; stderr has the reason."""
    none = (0, "", "The job has no log yet: it is running.\n")
    assert titan("job", "log", group, job_id) == none
    assert titan("job", "log", group, job_id, "--tail", "3") == none
    assert titan("job", "log", group, job_id, "--json").json == {"log": ""}
    (tmp_path / "out").write_text("old")
    assert titan("job", "log", group, job_id, "-o", str(tmp_path / "out")) == none
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("out", "")]


def test_log_of_a_job_that_has_not_run_or_has_ended(titan: Titan, group: str, job_id: str) -> None:
    """A job without a log says in which status it is, or that none will come."""
    delayed = titan.made(group, "--delay", "1h")
    assert titan("job", "log", group, delayed) == (0, "", "The job has no log yet: it is delayed.\n")
    titan("job", "cancel", group, delayed)
    assert titan("job", "log", group, delayed) == (0, "", "The job has no log.\n")


def test_log_that_is_not_stored_yet(titan: Titan, group: str, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the report of the worker counts a log that does not exist yet, the message asks to try again."""

    async def show(*_: object) -> Job:
        at = "2026-01-31T12:00:00.000Z"
        receipts = [Receipt(log_bytes=7)]
        return Job(id=job_id, group_name=group, status="succeeded", image="x", created_at=at, receipts=receipts)

    monkeypatch.setattr("worker.client.Client.show", show)
    assert "not stored yet" in titan("job", "log", group, job_id).err


def test_log_of_no_job(titan: Titan, group: str, tmp_path: Path) -> None:
    """A job that does not exist is refused; an existing file does not change, and no other file remains."""
    (tmp_path / "out").write_text("old")
    for words in ((), ("--json",), ("-f",), ("-o", str(tmp_path / "out"))):
        refused = titan("job", "log", group, "nope", *words)
        assert refused == (1, "", "Error: There is no such job in this group.\n")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("out", "old")]


def test_log_send_unstarted(titan: Titan, group: str) -> None:
    """A job that has not run takes no log."""
    refused = titan("job", "log", group, titan.made(group), "--send", "-", stdin="x")
    assert refused.code == 1
    assert "queued" in refused.err


def test_log_send_and_tail(titan: Titan, group: str, job_id: str) -> None:
    """Sending and reading at once is wrong usage."""
    assert titan("job", "log", group, job_id, "--send", "-", "--tail", "2", stdin="x").code == 2
