"""`titan bulk`."""

import os
import pty
from pathlib import Path

import pytest

from broker.cli import bulk as bulk_cli
from broker.models.bulk import Bulk
from tests.cli.live import Titan
from worker.client import Client


def test_bulk_retry(titan: Titan, group: str) -> None:
    """Failed jobs are retried; the last line says how many."""
    for _ in range(2):
        titan.made(group)
        job = titan.taken(group)
        titan("job", "fail", group, job["id"], "--lease", job["lease"])
    ran = titan("bulk", "retry", group, "--yes")
    assert (ran.code, ran.out.split(" ", 1)[1]) == (0, "done: 2 retried\n")
    again = titan("bulk", "retry", group, "--yes")
    assert again.out.split(" ", 1)[1] == "done: 0 retried, 2 skipped (already_retried)\n"


def test_bulk_of_a_cause(titan: Titan, group: str) -> None:
    """--cause takes the name of a cause as `titan group failures` prints it."""
    for error in ("no user 1", "no user 2", "no room"):
        titan.made(group)
        job = titan.taken(group)
        titan("job", "fail", group, job["id"], "--lease", job["lease"], "--error", error)
    [cause] = [line.split()[0] for line in titan("group", "failures", group).out.splitlines() if "no user #" in line]
    ran = titan("bulk", "retry", group, "--cause", cause, "--yes")
    assert (ran.code, ran.out.split(" ", 1)[1]) == (0, "done: 2 retried\n")


def test_bulk_dry_run(titan: Titan, group: str) -> None:
    """A dry run needs no --yes, counts and changes nothing."""
    titan.made(group, "--payload", "to: ann")
    titan.made(group)
    ran = titan("bulk", "cancel", group, "--text", "ann", "--dry-run", "--json")
    assert ran.code == 0
    assert (ran.json["bulk"]["matched"], ran.json["bulk"]["done"], ran.json["bulk"]["dry_run"]) == (1, 0, True)
    assert len(titan("job", "list", group, "--status", "queued", "--json").json["jobs"]) == 2


def failed(titan: Titan, group: str, *reasons: str) -> list[str]:
    """The ids of jobs that failed with these reasons."""
    ids = []
    for reason in reasons:
        titan.made(group)
        job = titan.taken(group)
        titan("job", "fail", group, job["id"], "--lease", job["lease"], "--reason", reason)
        ids.append(job["id"])
    return ids


def test_bulk_retry_after_an_outage(titan: Titan, group: str, tmp_path: Path) -> None:
    """Jobs that ended since a time are put back with another timeout and payload; --since is --completed-after."""
    failed(titan, group, "bad_exit", "killed")
    payload = tmp_path / "payload"
    payload.write_text("to: ümit")
    ended = ("--reason", "bad_exit", "--since", "10 minutes ago")
    counted = titan("bulk", "retry", group, *ended, "--completed-before", "9 minutes ago", "--dry-run", "--json")
    assert counted.json["bulk"]["matched"] == 0
    assert counted.json["bulk"]["completed_after"] < counted.json["bulk"]["completed_before"]
    assert titan("bulk", "retry", group, *ended, "--dry-run").out.split(" ", 1)[1] == "done: 1 match\n"
    changes = (
        "--set",
        "timeout=2min",
        "--set",
        f"payload=@{payload}",
        "--set",
        "retries-delay=",
        "--set",
        "priority=2",
    )
    ran = titan("bulk", "retry", group, *ended, *changes, "--yes", "--json")
    changed = {"timeout": 120, "payload": "to: ümit", "retries_delay": None, "priority": 2}
    assert (ran.json["bulk"]["done"], ran.json["bulk"]["set"]) == (1, changed)
    [new] = titan("job", "list", group, "--status", "queued", "--json").json["jobs"]
    assert (new["timeout"], new["payload"], new["priority"]) == (120, "to: ümit", 2)
    page = titan("bulk", "show", ran.json["bulk"]["id"]).out
    assert "payload to: ümit, timeout 120, priority 2, retries_delay default" in page
    listed = titan("job", "list", group, "--completed-after", "10 minutes ago", "--json").json["jobs"]
    assert [job["status"] for job in listed] == ["failed", "failed"]


def test_bulk_of_ids(titan: Titan, group: str, tmp_path: Path) -> None:
    """--ids takes ids with commas or spaces between them, several times, or from a file."""
    first, second, third, other = failed(titan, group, "a", "b", "c", "d")
    (tmp_path / "ids").write_text(f"{second}\n{third}\n")
    ran = titan("bulk", "retry", group, "--ids", f"{first}, {'0' * 16}", "--ids", f"@{tmp_path / 'ids'}", "--yes")
    assert (ran.code, ran.out.split(" ", 1)[1]) == (0, "done: 3 retried, 1 skipped (gone)\n")
    assert not titan("job", "show", group, other, "--json").json["job"].get("retry_at")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--set", "timeot=5"], "did you mean timeout?"),
        (["--set", "timeout"], "--set timeout=VALUE"),
        (["--set", "timeout=soon"], "no duration"),
        (["--set", "timeout=0"], "set.timeout must be a whole number from 1"),
        (["--set", "priority=high"], "set.priority must be a whole number from 0 to 2"),
        (["--set", "payload=@/no/such/file"], "No such file"),
        (["--ids", "x"], "ids[0] must be the id of a job"),
        (["--since", "soon"], "is no time"),
    ],
)
def test_bulk_retry_with_wrong_options(titan: Titan, group: str, words: list[str], named: str) -> None:
    """A value that is wrong is wrong usage, and says what is right."""
    refused = titan("bulk", "retry", group, "--yes", *words)
    assert refused.code == 2
    assert named in refused.err


def test_bulk_options_of_each_action(titan: Titan) -> None:
    """Only a retry changes jobs, and only finished jobs have an end."""
    for action, known in (("retry", "--set --since"), ("delete", "--since"), ("cancel", ""), ("promote", "")):
        shown = titan("bulk", action, "--help").out
        assert [name for name in ("--set", "--since") if f"{name} " in shown] == known.split()
        assert "--ids" in shown


@pytest.mark.parametrize("action", ["retry", "cancel", "delete", "promote"])
def test_bulk_without_a_terminal(titan: Titan, group: str, action: str) -> None:
    """Without a terminal to ask on, it is wrong usage, and nothing begins."""
    titan.made(group, "--delay", "60")
    refused = titan("bulk", action, group)
    assert refused.code == 2
    assert "--yes" in refused.err
    assert group not in titan("bulk", "list").out


@pytest.mark.parametrize(("answer", "left"), [(b"y\n", 0), (b"n\n", 2)])
def test_bulk_asks(titan: Titan, group: str, answer: bytes, left: int) -> None:
    """On a terminal it counts first, asks, and does nothing without a yes."""
    titan.made(group)
    titan.made(group)
    ours, theirs = pty.openpty()
    with titan.process("bulk", "cancel", group, stdin=theirs) as process:
        os.write(ours, answer)
        shown = process.communicate(timeout=30)[1].decode()
    os.close(ours)
    os.close(theirs)
    assert f"Cancel 2 jobs of {group}?" in shown
    assert process.returncode == (0 if not left else 1)
    assert len(titan("job", "list", group, "--status", "queued", "--json").json["jobs"]) == left


def test_bulk_too_many(titan: Titan, group: str) -> None:
    """More than --at-most is refused."""
    titan.made(group)
    titan.made(group)
    refused = titan("bulk", "cancel", group, "--yes", "--at-most", "1")
    assert (refused.code, refused.out) == (1, "")
    assert "2 jobs match, more than at_most" in refused.err


def test_bulk_list_show_stop(titan: Titan, group: str) -> None:
    """A bulk can be listed, shown and stopped."""
    for _ in range(3):
        titan.made(group)
    begun = titan("bulk", "cancel", group, "--yes", "--rate", "1", "--detach")
    bulk_id = begun.first
    assert " running: " in begun.out
    row = next(line for line in titan("bulk", "list").out.splitlines() if bulk_id in line)
    assert row.split()[1:3] == ["cancel", group]
    shown = dict(line.split(maxsplit=1) for line in titan("bulk", "show", bulk_id).out.splitlines())
    assert (shown["group"], shown["action"], shown["state"]) == (group, "cancel", "running")
    stopped = titan("bulk", "stop", bulk_id)
    assert f"{bulk_id} stopped: " in stopped.out
    assert titan("bulk", "show", bulk_id, "--json").json["bulk"]["state"] == "stopped"
    assert titan("bulk", "show", "0" * 16).code == 1


async def test_bulk_that_is_paused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The progress shows once why a bulk is paused, and continues to its end; --detach and `show` show the same."""
    monkeypatch.setattr(bulk_cli, "_LOOK_S", 0)
    why = "The group has 2 unfinished jobs, and may have 2."
    fields = {"action": "retry", "id": "0" * 16, "group": "mail", "created_at": "2026-01-02T10:00:00Z", "looked": 5}
    paused = Bulk(**fields, state="paused", paused_because=why)
    answers = iter([paused, paused, Bulk(**fields, state="done", done=5)])

    class Waiting(Client):
        async def show_bulk(self, _: str) -> Bulk:
            """The bulk as it is by now."""
            return next(answers)

    assert (await bulk_cli.followed(Waiting(["http://x"]), Bulk(**fields, state="running"))).done == 5
    assert capsys.readouterr().err == f"paused: {why} It continues when there is room.\n"
    bulk_cli._show(paused, as_json=False)
    bulk_cli._page(paused, as_json=False)
    shown, page = capsys.readouterr().out.split("\n", 1)
    assert shown == f"{'0' * 16} paused: 0 retried, {why}"
    assert why in page


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--rate", "0"], "rate"),
        (["--status", "nothing"], "--status"),
        (["--older-than", "soon"], "90s, 10m, 2h or 30d"),
        (["--text", "x" * 257], "text"),
    ],
)
def test_bulk_with_wrong_options(titan: Titan, group: str, words: list[str], named: str) -> None:
    """A value out of bounds is wrong usage and names its option."""
    refused = titan("bulk", "cancel", group, "--yes", *words)
    assert refused.code == 2
    assert named in refused.err


def test_bulk_help(titan: Titan) -> None:
    """Each command has an example of itself."""
    for name in ("retry", "cancel", "delete", "promote", "list", "show", "stop"):
        shown = titan("bulk", name, "--help")
        assert shown.code == 0
        assert f"titan bulk {name}" in shown.out.split("Example:")[1]


def test_job_verbs_for_a_group(titan: Titan, group: str) -> None:
    """`titan job cancel --group` acts on all jobs that match, as `titan bulk cancel`, and first says how many."""
    titan.made(group, "--payload", "to: ann")
    kept = titan.made(group)
    counted = titan("job", "cancel", "--group", group, "--text", "ann", "--dry-run")
    assert (counted.code, counted.out.split(" ", 1)[1]) == (0, "done: 1 match\n")
    ran = titan("job", "cancel", "--group", group, "--text", "ann", "--yes")
    assert (ran.code, ran.out.split(" ", 1)[1]) == (0, "done: 1 cancelled\n")
    assert [job["id"] for job in titan("job", "list", group, "--status", "queued", "--json").json["jobs"]] == [kept]
    deleted = titan("job", "delete", "--group", group, "--status", "cancelled", "--yes")
    assert deleted.out.endswith("done: 1 deleted\n")


@pytest.mark.parametrize(
    "words", [("mail",), (), ("mail", "a", "--group", "mail"), ("mail", "a", "--status", "queued")]
)
def test_job_verbs_need_ids_or_a_group(titan: Titan, words: tuple[str, ...]) -> None:
    """Ids and filters do not go together, and one of them is needed."""
    refused = titan("job", "cancel", *words)
    assert refused.code == 2
    assert "--group" in refused.err
