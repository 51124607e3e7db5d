"""What `titan job show` says about a job: why it waits, its attempts, its runs; and how `titan job log -f` ends."""

import re

import pytest

from broker.cli.job.page import cut_payload
from broker.cli.job.story import size_text
from tests.cli.live import Titan


def test_show_why_it_waits(titan: Titan, group: str) -> None:
    """A job that does not run has the reason below its fields; a finished one has not."""
    job_id = titan.made(group)
    titan("group", "pause", group, "--note", "provider down")
    shown = titan("job", "show", group, job_id).out
    assert f"{group} is paused" in shown.split("\n\n")[1]
    assert "provider down" in shown
    titan("job", "cancel", group, job_id)
    assert "\n\n" not in titan("job", "show", group, job_id).out


def test_show_attempts(titan: Titan, group: str) -> None:
    """Each job of a chain shows the whole chain, and marks itself."""
    ids = [titan.made(group, "--max-retries", "2", "--retries-delay", "0")]
    for _ in range(2):
        job = titan.taken(group)
        titan("job", "fail", group, job["id"], "--lease", job["lease"], "--reason", "bad_exit")
        ids.append(titan("job", "show", group, job["id"], "--json").json["job"]["retried_by"])
    for number, job_id in enumerate(ids):
        shown = titan("job", "show", group, job_id).out
        rows = shown.partition("\nAttempts\n")[2].partition("\n\n")[0].splitlines()[1:]
        assert [row.removeprefix(">").split()[:2] for row in rows] == [
            [f"{place}/3", each] for place, each in enumerate(ids, 1)
        ]
        assert [row.startswith(">") for row in rows] == [place == number for place in range(3)]


def test_show_retried_by(titan: Titan, group: str) -> None:
    """The id of the retry is `retried_by`; JSON keeps `retry_at`, which the API has, in addition."""
    job_id = titan.made(group)
    titan("job", "cancel", group, job_id)
    new = titan("job", "retry", group, job_id, "--json").json["jobs"][0]["job"]["id"]
    assert re.search(rf"^retried_by +{new}$", titan("job", "show", group, job_id).out, re.MULTILINE)
    for words in (("job", "show", group, job_id), ("job", "find", job_id)):
        job = titan(*words, "--json").json["job"]
        assert (job["retry_at"], job["retried_by"]) == (new, new)
    assert titan("job", "list", group, "--json").json["jobs"][0]["retried_by"] == new


def test_show_payload(titan: Titan, group: str) -> None:
    """A long payload is cut after five lines, except with --full."""
    job_id = titan.made(group, "--payload", "\n".join(f"row-{number}" for number in range(12)))
    shown = titan("job", "show", group, job_id).out
    assert "row-4" in shown
    assert "row-5" not in shown
    assert "12 lines" in shown
    assert "row-11" in titan("job", "show", group, job_id, "--full").out


@pytest.mark.parametrize("payload", ["", "x", "a\nb", "1\n2\n3\n4\n5", "x" * 500])
def test_cut_payload_short(payload: str) -> None:
    """A payload that fits is shown as it is."""
    assert cut_payload(payload) == payload


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (512, "512B"), (1536, "1.5KiB"), (20_480, "20KiB"), (3 * 2**40, "3TiB")]
)
def test_size_text(size: int, text: str) -> None:
    """Sizes have their largest unit."""
    assert size_text(size) == text


def test_log_follow_tells_the_end(titan: Titan, group: str) -> None:
    """A followed log ends with how the job ended, on stderr."""
    titan.made(group)
    job = titan.taken(group)
    titan("job", "log", group, job["id"], "--send", "-", stdin="out\n")
    titan("job", "fail", group, job["id"], "--lease", job["lease"], "--reason", "bad_exit", "--error", "exit code 3")
    followed = titan("job", "log", group, job["id"], "-f")
    assert (followed.code, followed.out) == (0, "out\n")
    assert re.fullmatch(rf"{job['id']} failed after [\d.]+ s, bad_exit: exit code 3\.\n", followed.err)


def test_log_follow_tells_what_it_waits_for(titan: Titan, group: str) -> None:
    """The log of a job that does not run yet says why."""
    job_id = titan.made(group, "--delay", "1h")
    with titan.process("job", "log", group, job_id, "-f") as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"Waiting: It is delayed")
        titan("job", "cancel", group, job_id)
        assert process.wait(30) == 0
        assert process.stderr.read().decode() == f"{job_id} cancelled, client_request.\n"
