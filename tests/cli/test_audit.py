"""`titan audit`."""

import time

from tests.cli.live import Ran, Titan


def audit_of(titan: Titan, group: str, n: int = 1) -> Ran:
    """The list, once it has n acts in the group: they are written a moment later."""
    end = time.monotonic() + 10
    while (ran := titan("audit")).out.count(group) < n:
        assert time.monotonic() < end, ran
    return ran


def test_audit_table(titan: Titan, group: str) -> None:
    """An act is a line with its time, address, act, group and ids."""
    job_id = titan.made(group)
    titan("job", "cancel", group, job_id)
    head, *rows = (line.split() for line in audit_of(titan, group).out.splitlines())
    row = dict(zip(head, next(row for row in rows if group in row), strict=False))
    assert (row["ACT"], row["GROUP"], row["N"], row["OUTCOME"], row["IDS"]) == ("cancel", group, "1", "ok", job_id)
    assert (row["BY"], row["ADDRESS"]) == ("-", "127.0.0.1")


def test_audit_json(titan: Titan, group: str) -> None:
    """With --json it is what the API answers; --all follows the cursors."""
    titan("group", "set", group, "--image", "x")
    audit_of(titan, group)
    entries = titan("audit", "--all", "--json").json["entries"]
    assert [entry["act"] for entry in entries if entry.get("group") == group] == ["configure"]


def test_audit_in_pages(titan: Titan, group: str) -> None:
    """A shorter list says how to continue."""
    for n in (1, 2):
        titan("group", "set", group, "--image", "x")
        audit_of(titan, group, n)
    shown = titan("audit", "-n", "1")
    assert len(shown.out.splitlines()) == 2
    assert "--cursor " in shown.err
    cursor = shown.err.split("--cursor ")[1].split()[0]
    assert len(titan("audit", "-n", "1", "--cursor", cursor).out.splitlines()) == 2
