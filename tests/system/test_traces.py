"""A trace through real programs: from the producer's header to the command's environment, with spans and without."""

import json
import re
import urllib.request
from collections.abc import Callable

import pytest

from tests.system.conftest import Program
from tests.system.otlp import receiving

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
SECRET = "of-nobody-else"


def enqueue(url: str, *, traceparent: str) -> str:
    body = json.dumps({"jobs": [{"image": "env", "payload": SECRET}]}).encode()
    headers = {"Content-Type": "application/json", "traceparent": traceparent, "tracestate": "a=1"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/groups/g/jobs", body, headers)) as reply:
        return str(json.load(reply)["jobs"][0]["id"])


def log_of(url: str, job_id: str) -> str:
    with urllib.request.urlopen(f"{url}/v1/groups/g/jobs/{job_id}/log") as reply:
        return str(reply.read().decode())


def test_trace_of_a_command_without_otel(
    broker: Callable[..., tuple[Program, str]], titan: Callable[..., Program]
) -> None:
    """The environment of the command has the producer's traceparent as it is: only a span may change it."""
    _, url = broker()
    worker = titan("worker", "--broker-url", url, "--run", "env=env")
    job_id = enqueue(url, traceparent=PARENT)
    worker.says(f"job {job_id}: succeeded")
    assert worker.stop() == 0
    assert f"TRACEPARENT={PARENT}\nTRACESTATE=a=1\n" in log_of(url, job_id)


def test_spans_and_lines_of_one_job(
    broker: Callable[..., tuple[Program, str]], titan: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With otel, spans of broker and worker are one trace at a receiver of OTLP. Every line of both is an object.

    No line has the payload.
    """
    monkeypatch.setenv("TITAN_OTEL", "1")
    monkeypatch.setenv("TITAN_LOG_FORMAT", "json")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        program, url = broker("--access-log", "--log-level", "debug")
        worker = titan("worker", "--broker-url", url, "--run", "env=env")
        job_id = enqueue(url, traceparent=PARENT)
        worker.says(rf'"event":"job.ended","job":"{job_id}","group":"g","worker":".+"message":"job {job_id}: succeeded')
        assert worker.stop() == 0
        own = re.search(rf"^TRACEPARENT=00-{TRACE}-([0-9a-f]{{16}})-01$", log_of(url, job_id), re.MULTILINE)
        assert program.stop() == 0
    assert receiver.paths == {"/v1/traces", "/v1/metrics"}
    assert receiver.metrics == {
        "messaging.client.sent.messages",
        "messaging.client.consumed.messages",
        "messaging.client.operation.duration",
        "messaging.process.duration",
    }
    [sent], [processed], [taken] = (receiver.named(f"{name} g") for name in ("enqueue", "process", "next"))
    assert (sent.service, sent.trace, sent.parent) == ("titan-broker", TRACE, SPAN)
    assert (processed.service, processed.trace, processed.parent) == ("titan-worker", TRACE, sent.id)
    assert own is not None
    assert own[1] == processed.id
    assert taken.links == [TRACE]
    assert sent.attributes == {
        "messaging.system": "titan",
        "messaging.operation.name": "enqueue",
        "messaging.operation.type": "send",
        "messaging.destination.name": "g",
        "messaging.message.id": job_id,
    }
    lines = [json.loads(line) for line in program.output.splitlines()]
    assert [line["url"] for line in lines if line["event"] == "broker.serving"] == [url]
    lines += [json.loads(line) for line in worker.output.splitlines()]
    assert all({"ts", "level", "event"} <= line.keys() for line in lines)
    assert {"broker.started", "broker.ready", "broker.stopped", "request.done", "worker.started"} <= {
        line["event"] for line in lines
    }
    assert SECRET not in program.output + worker.output
