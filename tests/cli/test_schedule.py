"""`titan schedule`."""

from pathlib import Path

from tests.cli.live import Titan

FILE = """
[[schedules]]
group = "{group}"
name = "digest"
cron = "30 7 * * 1-5"
zone = "Europe/Berlin"
job = {{ image = "digest" }}

[[schedules]]
group = "{group}"
name = "sweep"
every = 3600
overlap = "queue"
job = {{ image = "sweep", payload = "all" }}
"""


def test_set_show_and_list(titan: Titan, group: str) -> None:
    """What is set is shown; the times are in UTC and in the zone."""
    made = titan(
        "schedule", "set", group, "digest", "--cron", "30 7 * * 1-5", "--zone", "Europe/Berlin", "--image", "x"
    )
    assert made.out.startswith("digest active, next 2")
    shown = titan("schedule", "show", group, "digest").out
    assert "when      30 7 * * 1-5 Europe/Berlin" in shown
    assert "counts    0 fired, 0 skipped, 0 missed, 0 failed" in shown
    assert "30 7 * * 1-5 Europe/Berlin" in titan("schedule", "list", group).out
    times = titan("schedule", "next", group, "digest", "-n", "2", "--from", "2027-03-26T06:30:00Z").out
    assert "2027-03-29T07:30:00.000+02:00" in times
    refused = titan("schedule", "set", group, "bad", "--cron", "0 0 30 2 *", "--image", "x")
    assert (refused.code, "cron" in refused.err) == (1, True)


def test_run_pause_and_remove(titan: Titan, group: str) -> None:
    """A run makes a job, and a second one is refused; the history has both."""
    titan("schedule", "set", group, "s", "--every", "86400", "--image", "x")
    job_id, status = titan("schedule", "run", group, "s").out.split()
    assert status == "queued"
    refused = titan("schedule", "run", group, "s")
    assert (refused.code, job_id in refused.err) == (1, True)
    assert [line.split()[1:3] for line in titan("schedule", "fires", group, "s").out.splitlines()[1:]] == [
        ["skipped", "overlap"],
        ["fired", job_id],
    ]
    assert "because   down" in titan("schedule", "pause", group, "s", "--note", "down").out
    assert "state     active" in titan("schedule", "resume", group, "s").out
    span = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-03T00:00:00Z")
    assert titan("schedule", "backfill", group, "s", *span).out == "3 jobs made\n"
    assert titan("schedule", "remove", group, "s").out == "s removed\n"
    assert titan("schedule", "show", group, "s").code == 1


def test_a_file_is_set_and_pruned(titan: Titan, group: str, tmp_path: Path) -> None:
    """The same file again changes nothing; --prune removes what it does not name."""
    file = tmp_path / "schedules.toml"
    file.write_text(FILE.format(group=group), "utf-8")
    titan("schedule", "set", group, "old", "--every", "60", "--image", "x")
    for _ in range(2):
        set_ = titan("schedule", "set", "-f", str(file), "--prune")
        assert set_.code == 0, set_.err
    assert set_.out.splitlines() == [f"{group} digest active", f"{group} sweep active"]
    found = titan("schedule", "list", group, "--json").json["schedules"]
    assert [(one["name"], one["revision"]) for one in found] == [("digest", 1), ("sweep", 1)]
    assert found[1]["job"] == {"image": "sweep", "payload": "all"}
    assert titan("schedule", "set", group, "x", "-f", str(file)).code == 2
