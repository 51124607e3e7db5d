"""What jobs made: each runner finds it, and the worker sends it with the success."""

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from msgspec import UNSET, Raw

from broker.core.settings import BrokerSettings
from tests.worker.conftest import Work, enqueue
from tests.worker.test_http import Site, log, run, site
from tests.worker.test_process import python as python_program
from tests.worker.test_process import sh
from tests.worker.test_python import Running as PythonRunning
from tests.worker.test_python import python
from worker.client import Client
from worker.jobs.outcome import Failed, Outcome, Succeeded
from worker.jobs.output import Output
from worker.runners.function_result import outcome_of
from worker.runners.results import MAX_RESULT_BYTES, JobResult, result_of_text, result_of_value

__all__ = ["log", "python", "site"]

SMALL = BrokerSettings(key_prefix="small-results", max_result_bytes=20)


@pytest.mark.parametrize(
    ("text", "json"),
    [
        (b"", b""),
        (b" \n", b""),
        (b"null\n", b""),
        (b'{"pages": 3}\n', b'{"pages":3}'),
        (b"1.50", b"1.50"),
        (b"done\n", b'"done"'),
        (b"a\r\n", b'"a"'),
        (b"a\n\n", b'"a\\n"'),
        (b"{'a': 1}", b"\"{'a': 1}\""),
        (b"\xff", b'"\\\\xff"'),
        (b"1 2", b'"1 2"'),
        (b"NaN", b'"NaN"'),
    ],
)
def test_a_text_as_a_result(text: bytes, json: bytes) -> None:
    """JSON is taken as it is, and any other text as a string."""
    assert result_of_text(text) == JobResult(json)


@pytest.mark.parametrize(
    ("value", "json"),
    [
        (None, b""),
        (b"bytes", b""),
        ("a\n", b'"a\\n"'),
        ({"pages": [1, 2.5, True, None]}, b'{"pages":[1,2.5,true,null]}'),
        (0, b"0"),
        (False, b"false"),
        ("\udc80", b'"\\\\udc80"'),
    ],
)
def test_a_value_as_a_result(value: object, json: bytes) -> None:
    """What a function returned is its result, unless it is None, or bytes for the log."""
    assert result_of_value(value) == JobResult(json)


def test_a_value_that_is_no_json() -> None:
    """A success stays one: its result is left out, and a note says why."""
    outcome, _ = outcome_of({"a": {object()}})
    assert isinstance(outcome, Succeeded)
    assert (outcome.result, outcome.note) == (b"", "no result: what it returned, dict, is no JSON")


@pytest.mark.parametrize("text", [b"x" * MAX_RESULT_BYTES, b"[" + b"1," * MAX_RESULT_BYTES + b"1]"])
def test_a_text_that_is_too_large(text: bytes) -> None:
    """It is left out, and a note has its size: a retry of the job would make the same."""
    found = result_of_text(text)
    assert (found.json, found.note[:15]) == (b"", "no result: it h")


def test_a_function_may_give_json_itself() -> None:
    """Succeeded takes the bytes of a JSON text; anything else in its place is an invalid outcome."""
    assert outcome_of(Succeeded(result=b'{"a": 1}'))[0] == Succeeded(result=b'{"a":1}')
    given: Any = {"a": 1}
    refused = outcome_of(Succeeded(result=given))[0]
    assert isinstance(refused, Failed)
    assert refused.reason == "invalid_outcome"


@pytest.mark.parametrize(
    ("script", "json"),
    [
        ("echo '{\"pages\": 3}' >$TITAN_RESULT", b'{"pages":3}'),
        ("echo one >>$TITAN_RESULT; echo two >>$TITAN_RESULT", b'"one\\ntwo"'),
        ("echo 1 >$TITAN_RESULT.new && mv $TITAN_RESULT.new $TITAN_RESULT", b"1"),
        ("rm $TITAN_RESULT", b""),
        ("true", b""),
        ("rm $TITAN_RESULT; ln -s /etc/passwd $TITAN_RESULT", b""),
        ("rm $TITAN_RESULT; mkfifo $TITAN_RESULT", b""),
        ("rm $TITAN_RESULT; mkdir $TITAN_RESULT", b""),
    ],
)
async def test_a_command_writes_its_result(script: str, json: bytes) -> None:
    """The file that TITAN_RESULT names. A link in its place is not followed, and a pipe blocks nobody."""
    ran = sh(script)
    assert await ran.end() == Succeeded()
    assert (ran.result, ran.note) == (json, "")


async def test_a_command_writes_too_much() -> None:
    """The command succeeded; its result is left out."""
    ran = sh("head -c 300000 /dev/zero >$TITAN_RESULT")
    assert await ran.end() == Succeeded()
    assert (ran.result, ran.note) == (b"", f"no result: it had more than {MAX_RESULT_BYTES} bytes")


async def test_a_command_that_fails_has_no_result() -> None:
    """What it wrote before is left out: a failed job has an error instead."""
    assert await sh("echo 1 >$TITAN_RESULT; exit 3").end() == Failed("bad_exit", "exit code 3")


def names_in(folder: Path) -> list[str]:
    """What a folder has."""
    return sorted(path.name for path in folder.iterdir())


async def test_no_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is deleted after the run; without a folder for it the command runs without it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert await sh("echo 1 >$TITAN_RESULT").end() == Succeeded()
    assert names_in(tmp_path) == []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    ran = sh('echo "<$TITAN_RESULT>"')
    assert await ran.end() == Succeeded()
    assert await ran.text() == "<>\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start commands of another user")
async def test_the_file_is_that_of_the_user() -> None:
    """A command of another user may write it. A file of root that it puts there is not read: it may be a secret."""
    ran = sh("echo 1 >$TITAN_RESULT; ls -l $TITAN_RESULT", entry={"user": "nobody"})
    assert await ran.end() == Succeeded()
    assert (ran.result, (await ran.text())[:10]) == (b"1", "-rw-------")
    script = "import os; p = os.environ['TITAN_RESULT']; os.unlink(p); os.link('/etc/hostname', p)"
    linked = python_program(script, entry={"user": "nobody"})
    await linked.end()
    assert linked.result == b""


@pytest.mark.parametrize(
    ("kind", "status", "outcome"),
    [
        ("application/json", 200, Succeeded(result=b'{"pages":3}')),
        ("application/vnd.pages+json", 201, Succeeded(result=b'{"pages":3}')),
        ("text/plain", 200, Succeeded()),
        ("application/json", 500, Failed("http_500", "answered 500")),
    ],
)
async def test_the_result_of_an_address(site: Site, log: Output, kind: str, status: int, outcome: Outcome) -> None:
    """An answer that says that it is JSON is the result, and the log; another one is the log only."""
    site.answer = web.Response(text='{"pages": 3}', content_type=kind, status=status)
    assert await run(site.url, log) == outcome
    assert log.size_bytes == len('{"pages": 3}')


async def test_the_result_of_a_function(python: PythonRunning) -> None:
    """What a function returned is its result, in the event loop and in a process of the pool."""
    assert await python.run("text/reversed", "abc") == Succeeded()
    assert python.result == b'"cba"'
    assert await python.run("quick") == Succeeded()
    assert python.result == b""
    for name in ("pages", "pages_there"):
        assert await python.run(name, "70000") == Succeeded()
        assert (len(msgspec.json.decode(python.result)["pages"]), python.note) == (70_000, "")
        assert await python.run(name, "300000") == Succeeded()
        assert (python.result, python.note[:18]) == (b"", "no result: it had ")


async def test_a_worker_sends_results(client: Client, work: Work) -> None:
    """The result of each job is shown with it; a job without one has none."""
    jobs = await enqueue(client, "count", "quick")
    worker = work("count=sh -c 'echo 3 >$TITAN_RESULT'", "quick=true")
    await worker.until("reported", *jobs)
    shown = [(await client.show("g", job.id)).result for job in jobs]
    assert [result if result is UNSET else bytes(result) for result in shown] == [b"3", UNSET]


@pytest.mark.parametrize("settings", [SMALL])
async def test_a_result_that_the_broker_refuses(client: Client, work: Work) -> None:
    """The job succeeded all the same: a retry would do its work again. Its receipt says why it has no result."""
    jobs = await enqueue(client, "large", "fits")
    fits, large = (f"sh -c 'echo {text} >$TITAN_RESULT'" for text in ("12345678901234567890", "a0123456789012345678"))
    worker = work(f"large={large}", f"fits={fits}")
    await worker.until("reported", *jobs)
    shown = [await client.show("g", job.id) for job in jobs]
    assert [job.status for job in shown] == ["succeeded", "succeeded"]
    assert [job.result for job in shown] == [UNSET, Raw(b"12345678901234567890")]
    notes = [receipt.note for job in shown for receipt in job.receipts or []]
    assert notes == ["no result: A result may have 20 bytes at most.", ""]
