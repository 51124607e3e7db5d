"""`titan job why`, `history`, `find` and the filters of `list`; `titan group why` and `failures`."""

import pytest

from tests.cli.live import Titan

NO_JOB = "0" * 16


def test_why_for_people(titan: Titan, group: str) -> None:
    """The verdict is a line, the other reasons follow; the group may be left out."""
    titan.made(group)
    job_id = titan.made(group)
    titan("group", "pause", group)
    shown = titan("job", "why", group, job_id)
    assert shown.code == 0
    assert shown.out.startswith(f"{group} is paused for ")
    assert f"- 1 job of {group} is before it." in shown.out
    assert titan("job", "why", job_id).out.startswith(f"{group} is paused for ")


def test_why_as_json(titan: Titan, group: str) -> None:
    """With --json it is what the API answers."""
    job_id = titan.made(group)
    found = titan("job", "why", job_id, "--json").json
    assert found["job"] == job_id
    assert found["verdict"] == found["reasons"][0]["text"]
    assert titan("group", "why", group, "--json").json["job"] == job_id


def test_why_names_the_holders(titan: Titan, group: str) -> None:
    """The running jobs of a group at its limit are listed."""
    titan("group", "set", group, "--max-concurrency", "1")
    held = titan.made(group)
    titan.taken(group)
    titan.made(group)
    shown = titan("group", "why", group).out
    assert shown.startswith(f"{group} runs 1 job, and may run 1.")
    assert f"  running: {held}" in shown


@pytest.mark.parametrize("command", ["why", "history"])
def test_why_of_what_does_not_exist(titan: Titan, group: str, command: str) -> None:
    """An id that no job has is refused; three names are wrong usage."""
    refused = titan("job", command, NO_JOB)
    assert (refused.code, refused.err) == (1, "Error: There is no such job.\n")
    assert titan("job", command, group, NO_JOB).code == 1
    assert titan("job", command, "a", "b", "c").code == 2
    assert titan("group", "why", group).code == 1


def test_history_for_people(titan: Titan, group: str) -> None:
    """Each event is a row with its time; a receipt and a reason are details."""
    job_id = titan.made(group)
    lease = titan.taken(group)["lease"]
    titan("job", "fail", group, job_id, "--lease", lease, "--reason", "bad_exit")
    titan("job", "retry", group, job_id)
    shown = titan("job", "history", job_id)
    head, *rows = [line.split() for line in shown.out.splitlines()]
    assert head == ["AT", "EVENT", "DELIVERY", "BY", "DETAILS"]
    assert [row[1] for row in rows] == ["created", "taken", "failed", "retried"]
    assert "running -> failed, bad_exit" in shown.out
    assert shown.err == ""
    found = titan("job", "history", group, job_id, "--json").json
    assert [event["what"] for event in found["events"]] == ["created", "taken", "failed", "retried"]
    assert found["is_whole"] is True


def test_history_of_a_held_job(titan: Titan, group: str) -> None:
    """It says that the job is delayed, and what it waits for."""
    titan("group", "set", group, "--key-concurrency", "1")
    first, held = (titan("job", "enqueue", group, "--image", "a", "--job-key", "acme").first for _ in range(2))
    assert titan("job", "history", group, first).out.splitlines()[1].endswith("-> queued")
    assert titan("job", "history", group, held).out.splitlines()[1].endswith("-> delayed, waits for a place of acme")


def test_history_that_is_not_whole(titan: Titan, group: str) -> None:
    """Of a job that was released very often the oldest releases are missing, which is said on stderr."""
    job_id = titan.made(group)
    for _ in range(11):
        titan.taken(group)
        titan("job", "release", group, job_id)
    shown = titan("job", "history", group, job_id)
    assert shown.out.count("released") == 10
    assert "missing" in shown.err


def test_find_shows_the_job(titan: Titan, group: str) -> None:
    """A job is shown as by `show`, without its group."""
    job_id = titan.made(group, "--payload", "x")
    assert titan("job", "find", job_id).out.splitlines()[0].split() == ["id", job_id]
    assert titan("job", "find", job_id, "--json").json["job"]["group_name"] == group
    assert titan("job", "find", NO_JOB).code == 1


def test_list_with_filters(titan: Titan, group: str) -> None:
    """Filters narrow the list, and stderr says how many jobs were read; --all reads until the end."""
    ids = [titan.made(group, "--payload", payload) for payload in ("to: ann", "to: bob", "to: ann again")]
    shown = titan("job", "list", group, "--text", "ann", "--looks", "2")
    assert [line.split()[0] for line in shown.out.splitlines()[1:]] == [ids[0]]
    assert "There are more" in shown.err
    assert "2 of 3 jobs were read." in shown.err
    every = titan("job", "list", group, "--text", "ann", "--looks", "2", "--all", "--json")
    assert [job["id"] for job in every.json["jobs"]] == [ids[0], ids[2]]
    assert "3 of 3 jobs were read." in every.err
    titan("job", "cancel", group, ids[1])
    titan("job", "retry", group, ids[1])
    left = titan("job", "list", group, "--status", "cancelled", "--not-retried", "--json")
    assert left.json["jobs"] == []
    assert titan("job", "list", group, "--image", "hello", "--reason", "client_request", "--json").json["jobs"]
    assert titan("job", "list", group, "--worker", "w", "--json").json["jobs"] == []
    assert titan("job", "list", group, "--created-before", "2020-01-01T00:00:00Z", "--json").json["jobs"] == []
    assert titan("job", "list", group, "--created-before", "soon-ish").code == 2
    assert "read" not in titan("job", "list", group).err


def test_failures_for_people(titan: Titan, group: str) -> None:
    """Failed jobs with errors that differ in a number are one row."""
    for number in range(3):
        job_id = titan.made(group)
        titan.taken(group)
        titan("job", "fail", group, job_id, "--reason", "bad_exit", "--error", f"no user {number}")
    shown = titan("group", "failures", group)
    head, row = shown.out.splitlines()
    assert head.split() == ["CAUSE", "JOBS", "REASON", "ERROR", "FIRST", "LAST", "NEWEST"]
    cause, *cells = row.split()
    assert cells[:5] == ["3", "bad_exit", "no", "user", "#"]
    assert row.split()[-1] == job_id
    listed = titan("job", "list", group, "--cause", cause, "--json").json["jobs"]
    assert len(listed) == 3
    assert "3 match" in titan("bulk", "retry", group, "--cause", cause, "--dry-run").out
    assert "0 match" in titan("bulk", "retry", group, "--cause", "0" * 12, "--dry-run").out
    assert "last 2 of 3" in titan("group", "failures", group, "--looks", "2").err
    assert titan("group", "failures", group, "--json").json["causes"][0]["n"] == 3
    assert titan("group", "failures", group, "--looks", "0").code == 2


def test_failures_of_a_group_without_any(titan: Titan, group: str) -> None:
    """An empty list has a line for people, and none for programs; times are short without --wide."""
    job_id = titan.made(group)
    assert titan("group", "failures", group) == (0, "", "The group has no failed job.\n")
    assert titan("group", "failures", group, "--json").err == ""
    titan.taken(group)
    titan("job", "fail", group, job_id, "--reason", "bad_exit")
    assert "s ago" in titan("group", "failures", group).out
    assert "Z  " in titan("group", "failures", group, "--wide").out


@pytest.mark.parametrize("command", ["show", "log", "wait"])
def test_an_id_without_its_group(titan: Titan, command: str) -> None:
    """The error says what to do with an id alone; a group in the place of an id is called what it is not."""
    refused = titan("job", command, NO_JOB)
    assert refused.code == 2
    assert refused.err.endswith("The group comes before it; titan job find ID finds a job in whichever group.\n")
    for other in ("why", "find", "history"):
        assert "mail is no id of a job" in titan("job", other, "mail").err


def test_jobs_without_a_key_are_listed_too(titan: Titan, group: str) -> None:
    """Below the keys; a group without any job has no row."""
    assert titan("group", "keys", group).err == f"No job of {group} is queued or runs.\n"
    titan("job", "enqueue", group, "--image", "a", "--job-key", "acme")
    for _ in range(2):
        titan("job", "enqueue", group, "--image", "a")
    first, last = titan("group", "keys", group).out.splitlines()[1:]
    assert (first.split()[:3], last.split()) == (["acme", "1", "0"], ["(no", "key)", "2", "0"])
    assert titan("group", "keys", group, "--json").json["no_key"] == {"queued": 2, "running": 0}


def test_keys_of_a_group_whose_turns_are_asleep(titan: Titan, group: str) -> None:
    """While the order is fifo the list of keys says on stderr that fair_keys has no effect; stdout is as ever."""
    titan("group", "set", group, "--key-concurrency", "2")
    titan("job", "enqueue", group, "--image", "a", "--job-key", "acme")
    before = titan("group", "keys", group, "--json")
    assert before.err == ""
    titan("group", "set", group, "--fair-keys")
    for words in ((), ("--json",)):
        assert "fair_keys has no effect while the order is fifo" in titan("group", "keys", group, *words).err
    assert titan("group", "keys", group, "--json").json == before.json
    assert titan("group", "keys", f"{group}x").code == 0
