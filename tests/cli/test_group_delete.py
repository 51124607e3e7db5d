"""`titan group delete`."""

import os
import pty
import time

import pytest

from tests.cli.live import Titan


def end_of(titan: Titan, group: str) -> int:
    """The exit code of `group show`: 1 when there is no such group."""
    return titan("group", "show", group).code


def acts_on(titan: Titan, group: str) -> set[str]:
    """What the audit has of the group so far."""
    return {entry["act"] for entry in titan("audit", "--json").json["entries"] if entry.get("group") == group}


def test_group_delete(titan: Titan, group: str) -> None:
    """A group without unfinished jobs is deleted with its finished ones, and says how many there were."""
    for _ in range(2):
        titan("job", "cancel", group, titan.made(group))
    ran = titan("group", "delete", group, "--yes")
    assert (ran.code, ran.out) == (0, f"{group} with 2 jobs: deleted\n")
    assert end_of(titan, group) == 1
    again = titan("group", "delete", group, "--yes")
    assert (again.code, again.out) == (1, "")
    assert "There is no such group." in again.err


def test_group_delete_with_unfinished_jobs(titan: Titan, group: str) -> None:
    """It is refused, and says which jobs there are and what to do; nothing is deleted."""
    titan.made(group)
    titan.made(group, "--delay", "60")
    ran = titan("group", "delete", group, "--yes")
    assert (ran.code, ran.out) == (1, "")
    assert "unfinished jobs: 1 delayed, 1 queued. --cancel-jobs cancels them first." in ran.err
    assert len(titan("job", "list", group, "--json").json["jobs"]) == 2


def test_group_delete_cancels_jobs(titan: Titan, group: str) -> None:
    """--cancel-jobs cancels the unfinished jobs by a bulk, which the audit has, and then deletes the group."""
    titan.made(group)
    titan.taken(group)
    titan.made(group, "--delay", "60")
    ran = titan("group", "delete", group, "--cancel-jobs", "--yes")
    assert (ran.code, ran.out) == (0, f"{group} with 2 jobs, 2 of them cancelled first: deleted\n")
    assert end_of(titan, group) == 1
    end = time.monotonic() + 10
    while (acts := acts_on(titan, group)) != {"bulk", "delete_group"} and time.monotonic() < end:
        time.sleep(0.05)
    assert acts == {"bulk", "delete_group"}


@pytest.mark.parametrize("options", [(), ("--cancel-jobs",)])
def test_group_delete_dry_run(titan: Titan, group: str, options: tuple[str, ...]) -> None:
    """A dry run needs no --yes, says what would be deleted, and changes nothing."""
    job = titan.made(group)
    if not options:
        titan("job", "cancel", group, job)
    ran = titan("group", "delete", group, "--dry-run", *options)
    words = ", 1 of them cancelled first" if options else ""
    assert (ran.code, ran.out) == (0, f"{group} with 1 job{words}: would be deleted\n")
    assert titan("job", "show", group, job).code == 0


def test_group_delete_as_json(titan: Titan, group: str) -> None:
    """--json prints what was deleted; a refusal prints nothing on stdout."""
    titan.made(group)
    refused = titan("group", "delete", group, "--yes", "--json")
    assert (refused.code, refused.out) == (1, "")
    ran = titan("group", "delete", group, "--yes", "--cancel-jobs", "--json")
    assert (ran.code, ran.json) == (0, {"group": group, "cancelled": 1, "jobs": 1, "dry_run": False})


def test_group_delete_without_a_terminal(titan: Titan, group: str) -> None:
    """Without a terminal to ask on, it is wrong usage, and nothing is deleted."""
    titan("group", "set", group, "--image", "x")
    refused = titan("group", "delete", group)
    assert refused.code == 2
    assert "--yes" in refused.err
    assert end_of(titan, group) == 0


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 1), (b"n\n", 0)])
def test_group_delete_asks(titan: Titan, group: str, answer: bytes, code: int) -> None:
    """On a terminal it says what it would delete, asks, and deletes nothing without a yes."""
    titan("job", "cancel", group, titan.made(group))
    ours, theirs = pty.openpty()
    with titan.process("group", "delete", group, stdin=theirs) as process:
        os.write(ours, answer)
        error = process.communicate(timeout=30)[1].decode()
    os.close(ours)
    os.close(theirs)
    assert f"Delete {group} with 1 job?" in error
    assert end_of(titan, group) == code


def test_group_delete_step_by_step(titan: Titan, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that one call does not finish is deleted by several."""
    for _ in range(3):
        titan("job", "cancel", group, titan.made(group))
    monkeypatch.setattr("broker.store.groups.DELETED", 1)
    monkeypatch.setattr("broker.store.groups.DELETE_S", -1.0)
    ran = titan("group", "delete", group, "--yes")
    assert (ran.code, ran.out) == (0, f"{group} with 3 jobs: deleted\n")
    assert end_of(titan, group) == 1
