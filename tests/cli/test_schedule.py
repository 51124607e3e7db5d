"""`titan schedule`."""

import re
from pathlib import Path

from tests.cli.live import Titan

WEEKDAYS = ("--cron", "30 7 * * 1-5", "--zone", "Europe/Berlin", "--image", "digest", "--payload", "hello")


def put(titan: Titan, group: str, *words: str, name: str = "digest") -> None:
    """A schedule."""
    ran = titan("schedule", "set", group, name, *(words or WEEKDAYS))
    assert ran.code == 0, ran.err


def rows(text: str) -> dict[str, str]:
    """The names and values of a page."""
    return dict(re.split(r" {2,}", line, maxsplit=1) for line in text.splitlines())


def test_set_and_show(titan: Titan, group: str) -> None:
    """Options are the fields of the API; the page says the times in words."""
    ran = titan("schedule", "set", group, "digest", *WEEKDAYS, "--overlap", "queue", "--jitter", "2m", "--json")
    made = ran.json["schedule"]
    assert (made["cron"], made["zone"], made["overlap"], made["jitter"]) == (
        "30 7 * * 1-5",
        "Europe/Berlin",
        "queue",
        120,
    )
    assert made["job"] == {"image": "digest", "payload": "hello"}
    shown = rows(titan("schedule", "show", group, "digest").out)
    assert (shown["times"], shown["in words"]) == ("30 7 * * 1-5", "At 07:30 on Monday through Friday")
    assert (shown["jitter"], shown["overlap"], shown["missed"]) == ("2 min", "queue", "one, of the last 1 d")
    assert shown["counts"] == "0 fired, 0 skipped, 0 missed, 0 failed"
    assert titan("schedule", "set", group, "digest", *WEEKDAYS).out.startswith("digest active, next in ")
    assert titan("schedule", "show", group, "digest", "--json").json["schedule"]["overlap"] == "skip"


def test_set_a_job_with_deadlines_and_a_key(titan: Titan, group: str) -> None:
    """The jobs of a schedule have the deadlines and the unique key of its options."""
    words = ("--start-within", "5m", "--end-within", "1h", "--unique", "digest", "--on-conflict", "replace", "--json")
    made = titan("schedule", "set", group, "digest", *WEEKDAYS, *words).json["schedule"]["job"]
    assert (made["start_within"], made["end_within"]) == (300, 3600)
    assert made["unique"] == {"key": "digest", "on_conflict": "replace"}
    refused = titan("schedule", "set", group, "digest", *WEEKDAYS, "--max-wait", "1m")
    assert (refused.code, "--max-wait is for a job with --unique" in refused.err) == (2, True)


def test_set_other_times(titan: Titan, group: str) -> None:
    """Intervals, single times and several expressions."""
    put(titan, group, "--every", "15m", "--offset", "1m", "--image", "x", name="a")
    put(titan, group, "--at", "2099-01-05T08:00+01:00", "--image", "x", name="b")
    put(titan, group, "--cron", "@daily", "--cron", "0 12 * * *", "--image", "x", "--retry", "max=3", name="c")
    assert rows(titan("schedule", "show", group, "a").out)["times"] == "every 15 min, 1 min later"
    shown = rows(titan("schedule", "show", group, "b", "--wide").out)
    assert shown["times"] == "once, 2099-01-05T07:00:00.000Z"
    assert rows(titan("schedule", "show", group, "c").out)["times"] == "@daily; 0 12 * * *"
    head, *listed = titan("schedule", "list", group).out.splitlines()
    assert head.split()[:3] == ["NAME", "STATE", "NEXT"]
    assert [row.split()[:2] for row in listed] == [["a", "active"], ["b", "active"], ["c", "active"]]


def test_times_are_in_the_zone_of_the_schedule(titan: Titan, group: str) -> None:
    """Each command shows times as the clocks of the zone show them, and names it; with --wide they are in UTC."""
    words = ("--cron", "30 7 * * *", "--zone", "Asia/Kolkata", "--image", "x")
    for shown in (
        titan("schedule", "set", group, "digest", *words),
        titan("schedule", "list", group),
        titan("schedule", "show", group, "digest"),
    ):
        assert " 07:30:00 IST)" in shown.out
    titan("schedule", "backfill", group, "digest", "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z")
    assert "(2026-01-01 07:30:00 IST)" in titan("schedule", "fires", group, "digest").out
    for command in ("list", "show"):
        assert "T02:00:00.000Z" in titan("schedule", command, group, *["digest"] * (command == "show"), "--wide").out
    assert "T02:00:00.000Z" in titan("schedule", "set", group, "digest", *words, "--wide").out


def test_fires_say_when_they_were_decided(titan: Titan, group: str) -> None:
    """For people how much later than its time, with --wide the time itself."""
    put(titan, group, "--every", "1h", "--image", "x")
    titan("schedule", "backfill", group, "digest", "--from", "2026-01-01T00:30:00Z", "--to", "2026-01-01T01:30:00Z")
    [fire] = titan("schedule", "fires", group, "digest", "--json").json["fires"]
    head, row = titan("schedule", "fires", group, "digest").out.splitlines()
    assert "DECIDED" in head
    assert re.search(r"\d+ d later +fired \(backfill\)", row)
    assert fire["fired_at"] in titan("schedule", "fires", group, "digest", "--wide").out


def test_refusals(titan: Titan, group: str) -> None:
    """What is wrong is said in one line, by the command or by the broker."""
    for words, code, text in (
        ((group, "a", "--cron", "0 25 * * *", "--image", "x"), 1, "the hour '25' is not valid"),
        ((group, "a", "--cron", "@daily", "--zone", "Berlin", "--image", "x"), 1, "Do you mean 'Europe/Berlin'?"),
        ((group, "a", "--every", "0"), 2, "--every"),
        ((group,), 2, "It needs GROUP and NAME, or --file."),
        ((group, "a", "--prune", "--every", "5"), 2, "--prune needs --file."),
    ):
        ran = titan("schedule", "set", *words)
        assert (ran.code, text in ran.err) == (code, True), ran
    assert titan("schedule", "show", group, "none").code == 1
    assert titan("schedule", "list", group).err == f"{group} has no schedule.\n"


def test_times_before_it_is_set(titan: Titan, group: str) -> None:
    """A dry run shows the next times and keeps nothing; `next` shows those of a schedule, moved ones too."""
    ran = titan("schedule", "set", group, "digest", *WEEKDAYS, "--dry-run", "--json")
    assert (len(ran.json["times"]), len(ran.json["words"])) == (5, 1)
    assert titan("schedule", "show", group, "digest").code == 1
    put(titan, group, "--cron", "30 2 * * *", "--zone", "Europe/Berlin", "--jitter", "1m", "--image", "x")
    lines = titan("schedule", "next", group, "digest", "-n", "2", "--from", "2027-03-27T12:00:00Z").out.splitlines()
    assert lines[1].split()[:2] == ["2027-03-28T01:00:00.000Z", "2027-03-28T03:00:00.000+02:00"]
    assert lines[1].endswith("moved out of a gap")
    assert lines[2].split()[1] == "2027-03-29T02:30:00.000+02:00"
    assert titan("schedule", "next", group, "digest", "--json").json["words"] == ["At 02:30 every day"]


def test_pause_run_and_remove(titan: Titan, group: str) -> None:
    """A pause has its note; a run by hand is a fire; a removal leaves the job alone."""
    put(titan, group)
    paused = rows(titan("schedule", "pause", group, "digest", "--note", "provider down").out)
    assert (paused["state"], paused["because"]) == ("paused", "provider down")
    job_id = titan("schedule", "run", group, "digest").first
    assert titan("schedule", "run", group, "digest").code == 1
    assert titan("schedule", "run", group, "digest", "--overlap", "allow").code == 0
    assert rows(titan("schedule", "resume", group, "digest").out)["state"] == "active"
    fires = titan("schedule", "fires", group, "digest").out.splitlines()
    assert "fired (run)" in fires[1]
    assert job_id in fires[-1]
    assert titan("schedule", "remove", group, "digest").out == "digest removed\n"
    assert titan("job", "show", group, job_id).code == 0


def test_backfill(titan: Titan, group: str) -> None:
    """Times that have passed get their jobs, each once."""
    put(titan, group, "--every", "1h", "--image", "x")
    words = ("schedule", "backfill", group, "digest", "--from", "2026-01-01T00:30:00Z", "--to", "2026-01-01T03:30:00Z")
    assert titan(*words).out == "3 jobs made\n"
    assert titan(*words, "--json").json == {"times": 0}


def test_set_a_file(titan: Titan, group: str, tmp_path: Path) -> None:
    """A file is set as a whole, again without a change, and with --prune it is all that there is."""
    put(titan, group, name="old")
    file = tmp_path / "schedules.toml"
    head = f'[[schedules]]\ngroup = "{group}"\n'
    text = f'{head}name = "digest"\ncron = "@daily"\nstarts_at = 2027-01-05T08:00:00+01:00\njob.image = "x"\n'
    file.write_text(f"{text}{head}name = 'hourly'\nevery = 3600\njob = {{ image = 'x', retry = {{ max = 3 }} }}\n")
    words = ("schedule", "set", "-f", str(file))
    assert titan(*words).out == f"{group} digest created\n{group} hourly created\n"
    for dry_run in ((), ("--dry-run",)):
        assert titan(*words, *dry_run).out == f"{group} digest unchanged\n{group} hourly unchanged\n"
    file.write_text(text.replace("@daily", "@hourly"))
    for dry_run in (("--dry-run",), ()):
        changes = titan(*words, "--prune", *dry_run, "--json").json["schedules"]
        assert [(change["name"], change["what"]) for change in changes] == [
            ("digest", "changed"),
            ("hourly", "removed"),
            ("old", "removed"),
        ]
    assert titan("schedule", "set", group, "a", "-f", str(file)).code == 2
    file.write_text(text.replace("@daily", "@dayly"))
    refused = titan(*words)
    assert (refused.code, "Do you mean @daily?" in refused.err) == (2, True)
