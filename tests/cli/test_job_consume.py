"""A consumer's verbs by hand: `titan job next`, `start`, `touch`, `succeed`, `fail`, `release`, `hold`."""

import pytest

from tests.cli.live import Titan


def status(titan: Titan, group: str, job_id: str) -> str:
    """The job's status now."""
    return str(titan("job", "show", group, job_id, "--json").json["job"]["status"])


def test_next_table(titan: Titan, group: str) -> None:
    """A job that is taken is shown with its lease token, which the other verbs take."""
    job_id = titan.made(group)
    head, row = titan("job", "next", "--group", group).out.splitlines()
    taken = dict(zip(head.split(), row.split(), strict=True))
    assert (taken["ID"], taken["GROUP"]) == (job_id, group)
    assert titan("job", "succeed", group, job_id, "--lease", taken["LEASE"]).out == f"{job_id} succeeded\n"
    assert status(titan, group, job_id) == "succeeded"


def test_show_taken(titan: Titan, group: str) -> None:
    """A job that runs is shown with the end of its lease."""
    job_id = titan.made(group)
    titan.taken(group)
    rows = dict(
        line.split(maxsplit=1) for line in titan("job", "show", group, job_id).out.partition("\n\n")[0].splitlines()
    )
    assert rows["status"] == "running"
    assert rows["expires_at"].startswith("in ")
    assert rows["deliveries"] == "1"


def test_next_several(titan: Titan, group: str) -> None:
    """-n takes several, of several groups, in order."""
    ids = [titan.made(group), titan.made(f"{group}b")]
    words = ["job", "next", "-n", "5", "--group", group, "--group", f"{group}b", "--json"]
    assert [job["id"] for job in titan(*words).json["jobs"]] == ids


def test_next_nothing(titan: Titan, group: str) -> None:
    """When no job is ready, that is said on stderr, and the JSON is an empty list."""
    assert titan("job", "next", "--group", group) == (0, "", "No job is ready.\n")
    assert titan("job", "next", "--group", group, "--wait", "1", "--json").json == {"jobs": []}


def test_start_queued(titan: Titan, group: str) -> None:
    """A queued job can be started by its id."""
    job_id = titan.made(group)
    assert titan("job", "start", group, job_id).out == f"{job_id} running\n"


def test_touch_running(titan: Titan, group: str) -> None:
    """Touch prints the new end of the lease."""
    titan.made(group, "--timeout", "600")
    job = titan.taken(group)
    words = ["job", "touch", group, job["id"], "--lease", job["lease"]]
    assert titan(*words).out.strip() >= job["expires_at"]
    assert titan(*words, "--json").json["expires_at"] >= job["expires_at"]


def test_touch_foreign_lease(titan: Titan, group: str) -> None:
    """Another delivery's token is refused."""
    titan.made(group)
    job = titan.taken(group)
    assert titan("job", "touch", group, job["id"], "--lease", "someone-else").code == 1


def test_fail_reason(titan: Titan, group: str) -> None:
    """A failure keeps its reason and its text."""
    titan.made(group)
    job = titan.taken(group)
    words = ["--lease", job["lease"], "--reason", "bad_exit", "--error", "exit status 3", "--json"]
    failed = titan("job", "fail", group, job["id"], *words).json["job"]
    assert (failed["status"], failed["reason"], failed["error"]) == ("failed", "bad_exit", "exit status 3")


def test_release_later(titan: Titan, group: str) -> None:
    """A released job is queued again, or later with --delay."""
    for delay, after in ((), "queued"), (("--delay", "60"), "delayed"):
        job_id = titan.made(group)
        job = titan.taken(group)
        assert titan("job", "release", group, job["id"], "--lease", job["lease"], *delay).out.split()[1] == after
        titan("job", "cancel", group, job_id)


def test_hold_until_others_have_ended(titan: Titan, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job waits with the lease of TITAN_LEASE, and runs again after them; a job that waits for it is refused."""
    job_id = titan.made(group)
    job = titan.taken(group)
    others = [titan.made(f"{group}-others") for _ in range(2)]
    after = titan("job", "enqueue", group, "--image", "x", "--after", job_id, "--json").json["jobs"][0]["id"]
    monkeypatch.setenv("TITAN_LEASE", job["lease"])
    refused = titan("job", "hold", group, job_id, "--after", after)
    assert (refused.code, after in refused.err) == (1, True)
    words = [word for other in others for word in ("--after", other)]
    for _ in range(2):
        held = titan("job", "hold", group, job_id, *words, "--json").json["job"]
        assert (held["status"], held["waits_for"], held["after_on"]) == ("delayed", {"jobs": 2}, "over")
    late = titan("job", "succeed", group, job_id, "--lease", job["lease"])
    assert (late.code, "it waits for other jobs" in late.err) == (1, True)
    for other in others:
        titan("job", "cancel", f"{group}-others", other)
