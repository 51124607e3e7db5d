"""`titan job enqueue --ndjson`: many jobs from a file or a pipe."""

import json
import subprocess
from pathlib import Path

import pytest

from broker.cli.job.ndjson import read_calls
from broker.models.jobs import NewJob
from tests.cli.live import BrokerThread, Titan


def lines(n: int, **fields: object) -> str:
    """N jobs with different payloads."""
    return "".join(json.dumps({"image": "hello", "payload": str(i), **fields}) + "\n" for i in range(n))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test writes its jobs."""
    return tmp_path / "jobs.ndjson"


def payloads(titan: Titan, group: str) -> list[str]:
    """The payloads of all jobs of the group, in order."""
    return [job["payload"] for job in titan("job", "list", group, "--all", "--json").json["jobs"]]


def test_ndjson_several_calls(titan: Titan, group: str, file: Path) -> None:
    """More than 1,000 jobs go in several calls; every id is printed, in order."""
    file.write_text(lines(2345))
    made = titan("job", "enqueue", group, "--ndjson", str(file))
    listed = titan("job", "list", group, "--all", "--json").json["jobs"]
    assert (made.code, made.err) == (0, "2,345 jobs enqueued.\n")
    assert made.out.splitlines() == [f"{job['id']} queued" for job in listed]
    assert [job["payload"] for job in listed] == [str(i) for i in range(2345)]


def test_ndjson_json(titan: Titan, group: str) -> None:
    """As JSON, the jobs of all calls are one list."""
    made = titan("job", "enqueue", group, "--ndjson", "-", "--json", stdin=lines(1200))
    assert len(made.json["jobs"]) == 1200


def test_ndjson_defaults(titan: Titan, group: str) -> None:
    """The other options are defaults for missing fields; empty lines are skipped."""
    text = '{"payload":"a"}\n\n{"payload":"b","image":"other","priority":0}\n'
    words = ["--image", "hello", "--priority", "2"]
    first, second = titan("job", "enqueue", group, "--ndjson", "-", *words, "--json", stdin=text).json["jobs"]
    assert (first["image"], first["priority"]) == ("hello", 2)
    assert (second["image"], second["priority"]) == ("other", 0)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('{"image":"x","priority":7}', "line 1202: priority: "),
        ('{"image":"x"', "line 1202: "),
        ("[]", "line 1202: "),
        ('{"image":1}', "line 1202: image: "),
        ('{"image":"x","y":' + "[" * 5000 + "]" * 5000 + "}", "line 1202: "),
    ],
)
def test_ndjson_wrong_line(titan: Titan, group: str, file: Path, line: str, error: str) -> None:
    """A file with a wrong line is refused before anything is sent; the error names the line and the field."""
    file.write_text(lines(1200) + "\n" + line + "\n")
    refused = titan("job", "enqueue", group, "--ndjson", str(file))
    assert (refused.code, refused.out) == (1, "")
    assert error in refused.err
    assert len(refused.err.splitlines()) == 1
    assert titan("job", "list", group).err == "Error: There is no such group.\n"


@pytest.mark.slow
def test_ndjson_wrong_line_from_pipe(titan: Titan, group: str) -> None:
    """From a pipe, the calls before the wrong line are sent, and the error names the last sent line."""
    with titan.process("job", "enqueue", group, "--ndjson", "-") as process:
        out, err = process.communicate((lines(1500) + "no json\n").encode(), timeout=30)
    assert process.returncode == 1
    assert len(out.splitlines()) == 1000
    assert b"line 1501: " in err
    assert b"Everything up to line 1000 is enqueued." in err
    assert len(payloads(titan, group)) == 1000


def test_ndjson_refused_by_broker(titan: Titan, group: str) -> None:
    """A job that the broker refuses is named by its line, in the second call too."""
    text = lines(1000) + "\n" + lines(3) + '{"payload":"no image"}\n'
    refused = titan("job", "enqueue", group, "--ndjson", "-", stdin=text)
    assert refused.code == 1
    assert "line 1005: image: " in refused.err
    assert "Everything up to line 1000 is enqueued." in refused.err


def test_ndjson_same_key_after_failure(titan: Titan, group: str, file: Path) -> None:
    """With --key, a file that failed in the middle can be fixed and sent again: no job is enqueued twice."""
    words = ["job", "enqueue", group, "--ndjson", str(file), "--key", f"import-{group}"]
    file.write_text(lines(1500) + '{"payload":"1500"}\n')
    failed = titan(*words)
    assert failed.code == 1
    assert "You can run the same command again." in failed.err
    file.write_text(lines(1501))
    assert titan(*words).code == 0
    assert titan(*words).code == 0
    assert payloads(titan, group) == [str(i) for i in range(1501)]


def test_ndjson_unreachable_broker(group: str) -> None:
    """A broker that cannot be reached is exit code 3 here too."""
    made = Titan("http://127.0.0.1:1")("job", "enqueue", group, "--ndjson", "-", stdin=lines(1))
    assert made.code == 3
    assert "--broker-url" in made.err


def test_ndjson_bounded_bytes(file: Path) -> None:
    """A call carries a bounded number of bytes, and the calls of a file are always the same."""
    file.write_text(lines(10, payload="x" * 1_000_000))
    made = []
    for _ in range(2):
        with file.open("rb") as stream:
            made.append([(call.number, len(call.lines), call.lines[0].number) for call in read_calls(stream, NewJob())])
    assert made[0] == made[1] == [(1, 4, 1), (2, 4, 5), (3, 2, 9)]


def test_ndjson_endless_line(titan: Titan, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without an end is refused before it is read whole."""
    monkeypatch.setattr("broker.cli.job.ndjson._LINE_BYTES", 1000)
    refused = titan("job", "enqueue", group, "--ndjson", "-", stdin=lines(1) + "x" * 2000)
    assert refused.code == 1
    assert "line 2: The line is longer than 1000 bytes." in refused.err


@pytest.mark.slow
def test_ndjson_broker_away(titan: Titan, group: str, tmp_path: Path) -> None:
    """A broker that stops in the middle is exit code 3, and the error has the last enqueued line."""
    broker = BrokerThread(tmp_path)
    broker.start()
    with Titan(broker.url).process("job", "enqueue", group, "--ndjson", "-") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(lines(1001).encode())
        process.stdin.flush()
        process.stdout.readline()
        broker.stop()
        _, err = process.communicate(lines(1000).encode(), timeout=30)
    assert process.returncode == 3
    assert b"lines 1001 to 2000: " in err
    assert b"Everything up to line 1000 is enqueued." in err


@pytest.mark.slow
def test_ndjson_no_bar_in_pipes(titan: Titan, group: str, file: Path) -> None:
    """Where stderr is no terminal there is no progress bar."""
    file.write_text(lines(10))
    with titan.process("job", "enqueue", group, "--ndjson", str(file), stdin=subprocess.DEVNULL) as process:
        out, err = process.communicate(timeout=30)
    assert len(out.splitlines()) == 10
    assert err == b"10 jobs enqueued.\n"


@pytest.mark.slow
def test_ndjson_bar_on_terminal(titan: Titan, group: str, file: Path) -> None:
    """On a terminal, --quiet shows a progress bar in place of the ids."""
    file.write_text(lines(1500))
    shown = titan.on_terminal("job", "enqueue", group, "--ndjson", str(file), "--quiet")
    assert "100%" in shown
    assert "1,500 jobs enqueued." in shown
    assert " queued" not in shown


@pytest.mark.slow
def test_ndjson_ids_on_terminal(titan: Titan, group: str, file: Path) -> None:
    """On a terminal that shows the ids there is no bar between them."""
    file.write_text(lines(3))
    shown = titan.on_terminal("job", "enqueue", group, "--ndjson", str(file))
    assert shown.count(" queued") == 3
    assert "%" not in shown
