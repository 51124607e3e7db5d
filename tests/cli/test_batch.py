"""`titan batch`, and what other commands say of the batch of a job."""

import json
from pathlib import Path

import pytest

from tests.cli.live import BrokerThread, Titan

BATCH = """
name = "nightly"

[[jobs]]
image = "thumb"
payload = "1.pdf"

[[jobs]]
image = "thumb"
payload = "2.pdf"

[on_failed]
image = "warn"

[on_over]
image = "tidy"
payload = "all"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A batch of two members and two callbacks."""
    path = tmp_path / "batch.toml"
    path.write_text(BATCH, "utf-8")
    return path


def fields(text: str) -> dict[str, str]:
    """The rows of a page."""
    return {row.split()[0]: row.split(maxsplit=1)[1] for row in text.splitlines() if len(row.split()) > 1}


def end_next(titan: Titan, group: str, verb: str, *more: str) -> str:
    """Take a job and end it; its id."""
    job = titan("job", "next", "--group", group, "--json").json["jobs"][0]
    assert titan("job", verb, group, job["id"], *more, "--lease", job["lease"]).code == 0
    return str(job["id"])


def test_a_batch_from_its_file_to_its_end(titan: Titan, group: str, file: Path, broker_thread: BrokerThread) -> None:
    """`new` shows it, `show` follows its counts, `list` has it, and `retry` repeats what failed."""
    made = fields(titan("batch", "new", group, str(file)).out)
    assert (made["name"], made["state"], made["total"], made["over"]) == ("nightly", "running", "2", "0")
    failed = end_next(titan, group, "fail", "--reason", "bad_exit")
    end_next(titan, group, "succeed")
    broker_thread.settle()
    shown = fields(titan("batch", "show", group, made["id"]).out)
    assert (shown["state"], shown["over"], shown["failed"], shown["succeeded"]) == ("failed", "2", "1", "1")
    assert {"on_failed", "on_over", "ended"} <= shown.keys()
    [row] = [line for line in titan("batch", "list", group).out.splitlines() if made["id"] in line]
    assert row.split()[1:] == ["failed", "2", "2", "1", "nightly"]
    again = fields(titan("batch", "retry", group, made["id"]).out)
    assert (again["total"], again["repeats"]) == ("1", made["id"])
    assert fields(titan("batch", "show", group, made["id"]).out)["repeated_by"] == again["id"]
    refused = titan("batch", "retry", group, made["id"])
    assert (refused.code, again["id"] in refused.err) == (1, True)
    retried = titan("job", "show", group, failed, "--json").json["job"]["retry_at"]
    assert titan("job", "show", group, retried, "--json").json["job"]["batch"] == {"id": again["id"]}


def test_a_job_names_its_batch(titan: Titan, group: str, file: Path, broker_thread: BrokerThread) -> None:
    """`job show` has the batch of a member; of a callback which one it is, and the counts. `job why` names it too."""
    batch = titan("batch", "new", group, str(file), "--json").json["batch"]["id"]
    member = end_next(titan, group, "fail")
    broker_thread.settle()
    assert fields(titan("job", "show", group, member).out)["batch"] == batch
    warned = titan("batch", "show", group, batch, "--json").json["batch"]["callbacks"]["on_failed"]
    assert fields(titan("job", "show", group, warned).out)["batch"] == f"{batch}, on_failed of 2: 1 failed"
    other = titan("job", "list", group, "--status", "queued", "--json").json["jobs"][0]["id"]
    assert f"member of the batch {batch}" in titan("job", "why", group, other).out


def test_an_open_batch(titan: Titan, group: str, file: Path, tmp_path: Path, broker_thread: BrokerThread) -> None:
    """Jobs are added to it until it is closed; then only as a running member; cancel ends what is left."""
    batch = titan("batch", "new", group, str(file), "--open", "--json").json["batch"]["id"]
    more = tmp_path / "more.json"
    more.write_text(json.dumps({"jobs": [{"image": "thumb", "payload": "3.pdf"}]}), "utf-8")
    assert titan("batch", "add", group, batch, str(more)).out.split()[1:] == ["thumb", "queued"]
    assert fields(titan("batch", "close", group, batch).out)["total"] == "3"
    assert "closed" in titan("batch", "add", group, batch, str(more)).err
    running = titan("job", "next", "--group", group, "--json").json["jobs"][0]
    lease = ("--member", running["id"], "--lease", running["lease"])
    assert len(titan("batch", "add", group, batch, str(more), *lease, "--json").json["jobs"]) == 1
    assert titan("batch", "cancel", group, batch).code == 0
    broker_thread.settle()
    assert fields(titan("batch", "show", group, batch, "--wait", "1").out)["state"] == "cancelled"


def test_a_file_that_is_no_batch(titan: Titan, group: str, tmp_path: Path) -> None:
    """It is wrong usage that names the file; an unknown batch is an error of the broker."""
    wrong = tmp_path / "wrong.toml"
    for text in ("jobs = 3", "opne = true", "jobs = ["):
        wrong.write_text(text, "utf-8")
        found = titan("batch", "new", group, str(wrong))
        assert (found.code, "wrong.toml" in found.err) == (2, True)
    assert "no such batch" in titan("batch", "show", group, "0" * 16).err
    assert "has no batches" in titan("batch", "list", group).err + titan("batch", "list", group).out
