"""`titan job enqueue` of one job."""

from pathlib import Path

import pytest

from tests.cli.live import Titan


def test_enqueue_prints_id_and_status(titan: Titan, group: str) -> None:
    """One line tells the new job's id and status."""
    made = titan("job", "enqueue", group, "--image", "hello")
    job_id, status = made.out.split()
    assert (made.code, status, made.err) == (0, "queued", "")
    assert made.out == f"{job_id} queued\n"


def test_enqueue_every_field(titan: Titan, group: str) -> None:
    """Each option sets the field of its name."""
    wanted = {"delay": 60, "timeout": 90, "priority": 2, "max_retries": 3, "retries_delay": 5}
    options = [word for name, value in wanted.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    made = titan("job", "enqueue", group, "--image", "hello", "--payload", "x", *options, "--json").json["jobs"][0]
    assert made["status"] == "delayed"
    assert {name: made[name] for name in wanted} == wanted
    assert (made["image"], made["payload"]) == ("hello", "x")


def test_enqueue_quiet(titan: Titan, group: str) -> None:
    """--quiet prints no ids."""
    assert titan("job", "enqueue", group, "--image", "hello", "--quiet") == (0, "", "")


def test_enqueue_payload_from_stdin(titan: Titan, group: str) -> None:
    """A payload may come from stdin, with every character kept."""
    text = "späte\nZeile\x00\r\n"
    made = titan("job", "enqueue", group, "--image", "hello", "--payload-file", "-", "--json", stdin=text.encode())
    assert made.json["jobs"][0]["payload"] == text


def test_enqueue_payload_from_file(titan: Titan, group: str, tmp_path: Path) -> None:
    """A payload may come from a file."""
    (tmp_path / "payload").write_text("from a file")
    made = titan("job", "enqueue", group, "--image", "hello", "--payload-file", str(tmp_path / "payload"), "--json")
    assert made.json["jobs"][0]["payload"] == "from a file"


def test_enqueue_payload_not_text(titan: Titan, group: str) -> None:
    """A payload that is not UTF-8 is refused with the place of the first wrong byte."""
    made = titan("job", "enqueue", group, "--image", "hello", "--payload-file", "-", stdin=b"ab\xff")
    assert made.code == 1
    assert "byte 2" in made.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--priority", "7"], "priority"),
        (["--timeout", "0"], "timeout"),
        (["--image", "x" * 300], "image"),
        (["--payload", "x", "--payload-file", "-"], "--payload-file"),
        (["--payload", "x", "--ndjson", "-"], "--ndjson"),
    ],
)
def test_enqueue_wrong_options(titan: Titan, group: str, words: list[str], named: str) -> None:
    """A value out of bounds is wrong usage, names its field, and enqueues nothing."""
    made = titan("job", "enqueue", group, "--image", "hello", *words)
    assert made.code == 2
    assert named in made.err
    assert titan("job", "list", group).out == ""


def test_enqueue_with_the_image_as_an_argument(titan: Titan, group: str) -> None:
    """The error says how the image is given."""
    refused = titan("job", "enqueue", group, "hello")
    assert refused.code == 2
    assert "extra argument (hello). The image is given with --image" in refused.err


def test_enqueue_without_image(titan: Titan, group: str) -> None:
    """What only the broker can know is refused by it, with the field."""
    made = titan("job", "enqueue", group)
    assert made.code == 1
    assert "image" in made.err


def test_enqueue_same_key(titan: Titan, group: str) -> None:
    """With the same key, the same command again gives the same job; another job is refused."""
    words = ["job", "enqueue", group, "--key", f"key-{group}", "--image"]
    assert titan(*words, "hello").out == titan(*words, "hello").out
    refused = titan(*words, "other")
    assert refused.code == 1
    assert "Idempotency-Key" in refused.err


def test_enqueue_after_others(titan: Titan, group: str) -> None:
    """--after names jobs that it waits for, and --after-on which end of them is enough."""
    first, second = (titan("job", "enqueue", group, "--image", "x").out.split()[0] for _ in range(2))
    words = ["--image", "x", "--after", first, "--after", second, "--after-on", "over", "--json"]
    made = titan("job", "enqueue", group, *words).json["jobs"][0]
    assert (made["after"], made["after_on"], made["waits_for"]) == ([first, second], "over", {"jobs": 2})
    unknown = titan("job", "enqueue", group, "--image", "x", "--after", "0" * 16)
    assert (unknown.code, "after[0]" in unknown.err) == (1, True)


def test_enqueue_unique(titan: Titan, group: str) -> None:
    """--unique gives a key: a second job is the first one, and its line has that; or --on-conflict decides."""
    words = ["job", "enqueue", group, "--image", "x", "--unique", "doc-7"]
    first = titan(*words).out.split()[0]
    assert titan(*words).out == f"{first} queued, duplicate\n"
    assert titan(*words, "--on-conflict", "refuse").code == 1
    followed = titan(*words, "--on-conflict", "follow", "--json").json["jobs"][0]
    assert (followed["unique"], followed["waits_for"]) == ({"key": "doc-7", "on_conflict": "follow"}, {"jobs": 1})


def test_enqueue_with_a_trace(titan: Titan, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """--traceparent, or the variable that a command of a job has, says which trace the job belongs to."""
    first, second = (f"00-{digit * 32}-{digit * 16}-01" for digit in "ab")
    words = ["job", "enqueue", group, "--image", "x", "--json"]
    made = titan(*words, "--traceparent", first, "--tracestate", "a=1").json
    monkeypatch.setenv("TRACEPARENT", second)
    also = titan(*words).json
    jobs = [titan("job", "show", group, job["jobs"][0]["id"], "--json").json for job in (made, also)]
    assert [job["job"]["traceparent"] for job in jobs] == [first, second]


@pytest.mark.parametrize("parent", ["garbage", f"00-{'A' * 32}-{'b' * 16}-01", f"00-{'0' * 32}-{'b' * 16}-01"])
def test_enqueue_with_an_invalid_trace(titan: Titan, group: str, parent: str) -> None:
    """What was typed is refused with the form of a traceparent; what the environment has is ignored."""
    words = ("job", "enqueue", group, "--image", "x")
    refused = titan(*words, "--traceparent", parent)
    assert (refused.code, refused.out) == (2, "")
    assert "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" in refused.err
    made = titan(*words, TRACEPARENT=parent)
    assert made.code == 0
    assert "traceparent" not in titan("job", "show", group, made.first, "--json").json["job"]


def test_enqueue_job_key(titan: Titan, group: str) -> None:
    """--job-key says what a job belongs to. Lists and why name the key that a held job waits for."""
    titan("group", "set", group, "--key-concurrency", "1", "--key-strict")
    words = ["job", "enqueue", group, "--image", "x", "--job-key", "acme"]
    first = titan(*words).out.split()[0]
    held = titan(*words, "--json").json["jobs"][0]
    assert (held["key"], held["waits_for"]) == ("acme", {"key": "acme"})
    assert "a place of acme" in titan("job", "show", group, held["id"]).out
    assert "for a place of acme" in titan("job", "list", group).out
    shown = titan("job", "why", group, held["id"]).out
    assert shown.startswith("It waits for a place of its key acme: 1 job of 1 are queued or run.")
    assert first in shown
    [line] = titan("group", "keys", group).out.splitlines()[1:]
    assert line.split()[:4] == ["acme", "1", "0", "1"]
    assert titan("group", "keys", group, "--json").json["keys"][0]["held"] == 1


def test_enqueue_unique_for_a_time(titan: Titan, group: str) -> None:
    """How long the job holds its key, and how long it may be put off, are options too."""
    words = ["job", "enqueue", group, "--image", "x", "--delay", "5", "--json"]
    pushed = titan(*words, "--unique", "a", "--on-conflict", "push", "--max-wait", "1m").json["jobs"][0]
    assert pushed["unique"] == {"key": "a", "on_conflict": "push", "max_wait": 60}
    held = titan(*words, "--unique", "b", "--unique-for", "1h").json["jobs"][0]
    assert held["unique"] == {"key": "b", "for": 3600}
    until = titan(*words, "--unique", "c", "--unique-until", "started").json["jobs"][0]
    assert until["unique"] == {"key": "c", "until": "started"}


def test_enqueue_ties_for_nothing(titan: Titan, group: str) -> None:
    """What belongs to an option that is missing is wrong usage."""
    for words in (["--on-conflict", "refuse"], ["--unique-for", "1h"], ["--after-on", "over"]):
        assert titan("job", "enqueue", group, "--image", "x", *words).code == 2


def test_enqueue_from_environment(titan: Titan, group: str) -> None:
    """An option that is not given comes from its variable."""
    made = titan("job", "enqueue", group, TITAN_JOB_ENQUEUE_IMAGE="hello", TITAN_JSON="1")
    assert made.json["jobs"][0]["image"] == "hello"
