"""`titan job` with times: when a job is queued, and by when it must have started and ended."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.core.timestamps import milliseconds
from tests.cli.live import BrokerThread, Titan

LATER = "2126-01-31T12:00:00.000Z"


def made(titan: Titan, group: str, *words: str) -> dict[str, Any]:
    """A new job as the API answers it."""
    ran = titan("job", "enqueue", group, "--image", "hello", *words, "--json")
    assert ran.code == 0, ran.err
    return dict(ran.json["jobs"][0])


def ahead_s(job: dict[str, Any], field: str) -> float:
    """How long after its creation a job has this time, s."""
    return (milliseconds(job[field]) - milliseconds(job["created_at"])) / 1000


def test_enqueue_with_spans(titan: Titan, group: str) -> None:
    """Deadlines are durations from the creation of the job on."""
    job = made(titan, group, "--start-within", "2m", "--end-within", "1h30m")
    assert (ahead_s(job, "start_before"), ahead_s(job, "end_before")) == (120, 5400)
    assert not {"start_before", "end_before"} & made(titan, group).keys()


def test_enqueue_with_times(titan: Titan, group: str) -> None:
    """Deadlines are times too, in the zone of this machine unless they name one."""
    job = made(titan, group, "--start-before", "2126-01-31T13:00:00+01:00", "--end-before", "2126-01-31 12:00")
    local = datetime(2126, 1, 31, 12).astimezone().astimezone(UTC)
    assert (job["start_before"], job["end_before"]) == (LATER, f"{local:%Y-%m-%dT%H:%M:%S}.000Z")


def test_enqueue_run_at(titan: Titan, group: str) -> None:
    """The job is queued at that time to the millisecond, and not a delay after the answer."""
    at = datetime.now(UTC) + timedelta(hours=3)
    job_id = titan.made(group, "--run-at", at.isoformat())
    due_at = titan("job", "why", job_id, "--json").json["reasons"][0]["until"]
    assert milliseconds(due_at) == int(at.timestamp() * 1000)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--run-at", "2126-01-31", "--delay", "1m"), "--run-at and --delay do not go together."),
        (("--start-before", "2126-01-31", "--start-within", "1m"), "--start-before and --start-within do not"),
        (("--end-before", "2126-01-31", "--end-within", "1m"), "--end-before and --end-within do not go together."),
        (("--start-before", "2001-01-31 09:00"), "2001-01-31 09:00:00"),
        (("--end-before", "yesterday"), "is in the past."),
        (("--run-at", "5"), "'5' is no time, such as '09:00', 'tomorrow 09:00'"),
        (("--end-within", "1.5"), "'1.5' is not a whole number of seconds."),
    ],
)
def test_enqueue_with_wrong_times(titan: Titan, group: str, words: tuple[str, ...], said: str) -> None:
    """What is no time to come, or is given twice, is wrong usage, and nothing is enqueued."""
    refused = titan("job", "enqueue", group, "--image", "hello", *words)
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err
    assert titan("job", "list", group).code == 1


def test_ndjson_with_times(titan: Titan, group: str) -> None:
    """Lines have the fields of the API; an option is for lines that have neither the span nor the time."""
    text = "\n".join(
        [
            '{"payload":"none"}',
            '{"payload":"span","start_within":5}',
            f'{{"payload":"time","start_before":"{LATER}"}}',
            '{"payload":"delay","delay":60,"start_before":""}',
        ]
    )
    soon = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%dT%H:%MZ}"
    words = ("--image", "hello", "--ndjson", "-", "--start-within", "2m", "--run-at", soon, "--json")
    jobs = titan("job", "enqueue", group, *words, stdin=text).json["jobs"]
    none, span, time, delay = jobs
    assert [ahead_s(job, "start_before") for job in (none, span, delay)] == [120, 5, 120]
    assert time["start_before"] == LATER
    assert (delay["delay"], none["delay"] > 86_400) == (60, True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"run_at":"soon"}', "line 2: run_at: run_at must be an RFC 3339 time"),
        ('{"end_within":0}', "line 2: end_within: end_within must be a whole number from 1"),
        (f'{{"end_within":5,"end_before":"{LATER}"}}', "line 2: end_before: The job has end_within and end_before"),
        ('{"start_witin":5}', "did you mean start_within?"),
    ],
)
def test_ndjson_with_wrong_times(titan: Titan, group: str, tmp_path: Path, line: str, said: str) -> None:
    """A file with a wrong time is refused before anything is sent, with the line and the field."""
    (tmp_path / "jobs").write_text(f'{{"image":"hello"}}\n{line}\n')
    refused = titan("job", "enqueue", group, "--image", "hello", "--ndjson", str(tmp_path / "jobs"))
    assert (refused.code, refused.out) == (1, "")
    assert said in refused.err
    assert "Nothing is enqueued." in refused.err
    assert titan("job", "list", group).code == 1


def test_show_of_a_job_with_deadlines(titan: Titan, group: str) -> None:
    """The page has each deadline with its distance, and says what happens then; a plain job has no such line."""
    job_id = titan.made(group, "--start-within", "2m", "--end-within", "2h")
    shown = titan("job", "show", group, job_id).out
    lines = dict(line.split(maxsplit=1) for line in shown.splitlines() if line and not line.startswith("-"))
    assert lines["start_before"].startswith(("in 2 min (", "in 1 min 59 s ("))
    assert lines["end_before"].startswith("in 2 h (")
    assert "- It must be taken within " in shown
    assert ", or fails with the reason expired." in shown
    assert "- It must end within " in shown
    assert titan("job", "show", group, job_id, "--wide").out.count("Z\n") >= 3
    assert "before" not in titan("job", "show", group, titan.made(group)).out.split("\n\n")[0]


def test_list_of_jobs_with_deadlines(titan: Titan, group: str) -> None:
    """The next deadline of a job is a cell: until it is taken that of the start, then that of the end."""
    words = ("--start-within", "2m", "--end-within", "1h")
    taken, _ = titan.made(group, *words), titan.taken(group)
    queued, plain = titan.made(group, *words), titan.made(group)
    early = titan.made(group, "--start-before", LATER, "--end-within", "2h")
    done = titan.made(group, *words)
    titan("job", "cancel", group, done)
    rows = {line.split()[0]: line for line in titan("job", "list", group).out.splitlines()}
    assert " end in 1h " in rows[taken]
    assert " start in 2min" in rows[queued]
    assert " end in 2h" in rows[early]
    assert not [job_id for job_id in (plain, done) if " in " in rows[job_id]]
    ends = titan("job", "show", group, early, "--json").json["job"]["end_before"]
    assert f" end {ends}" in titan("job", "list", group, "--wide").out


def test_list_on_a_terminal_without_deadlines(titan: Titan, group: str) -> None:
    """A terminal gets the column only if a job has a deadline."""
    titan.made(group)
    assert "DEADLINE" not in titan.on_terminal("job", "list", group, columns=160)
    titan.made(group, "--end-within", "1h")
    assert "DEADLINE" in titan.on_terminal("job", "list", group, columns=160)


def test_late_job(titan: Titan, broker_thread: BrokerThread, group: str) -> None:
    """A job that nobody took in time is found by its reason; its history has `late`, and a retry has no deadline."""
    late = titan.made(group, "--start-within", "30s", "--max-retries", "3")
    ended = titan.made(group, "--end-within", "30s")
    titan.made(group, "--start-within", "10m")
    broker_thread.reap(31)
    listed = titan("job", "list", group, "--status", "failed", "--reason", "expired")
    assert [line.split()[0] for line in listed.out.splitlines()[1:]] == [late]
    [timeout] = titan("job", "list", group, "--reason", "timeout", "--json").json["jobs"]
    assert timeout["id"] == ended
    history = titan("job", "history", late).out.splitlines()
    assert [line.split()[1] for line in history[1:]] == ["created", "late", "failed"]
    assert "queued -> failed" in history[2]
    assert history[3].endswith("failed, expired")
    assert ", reason expired; kept until " in titan("job", "why", late).out
    retry = titan("job", "retry", group, late, "--json")
    assert retry.code == 0, retry
    assert "start_before" not in retry.out


def test_help_has_examples_of_times(titan: Titan) -> None:
    """The help shows a time and both kinds of deadlines."""
    shown = titan("job", "enqueue", "--help").out
    assert "--run-at 'tomorrow 09:00'" in shown
    assert "--start-within 2m --end-within 5m" in shown
    assert "--start-before '2027-01-05 12:00'" in shown
