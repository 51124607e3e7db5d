"""Every example of the page of the HTTP API is run as it is printed, in curl, Python and JavaScript."""

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from broker.http.openapi import document
from tests.docs.http_examples import BROKER, EXAMPLES, Example
from tests.docs.http_page import calls, example_of
from tests.pages import running_up

LANGUAGES = {
    "sh": ["bash", "-c"],
    "python": [sys.executable, "-c"],
    "javascript": ["node", "--input-type=module", "-e"],
}
NUMBERS = count()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker that `titan up` runs."""
    with running_up(tmp_path_factory.mktemp("up")) as port:
        yield f"http://127.0.0.1:{port}"


def call(url: str, method: str, path: str, body: Any = None) -> Any:
    """Send a request, and return the JSON of the answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}{path}", data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"null")


def prepare(url: str, needs: str) -> dict[str, str]:
    """Bring about what an example needs; the values of its names."""
    call(url, "PUT", "/v1/groups/mail", {"group": {}})
    if needs == "etag":
        with urllib.request.urlopen(f"{url}/v1/groups/mail", timeout=30) as answer:
            return {"ETAG": answer.headers["ETag"].replace('"', '\\"')}
    if needs == "bulk":
        begun = call(url, "POST", "/v1/groups/mail/bulk", {"action": "retry", "dry_run": True})
        return {"BULK_ID": begun["bulk"]["id"]}
    if needs in {"batch", "failed batch"}:
        return {"BATCH_ID": prepare_batch(url, is_failed=needs == "failed batch")}
    if needs == "unique key":
        call(url, "POST", "/v1/groups/mail/jobs", {"jobs": [{"image": "send", "unique": {"key": "doc-7"}}]})
    if needs == "schedule":
        call(url, "PUT", "/v1/groups/mail/schedules/digest", {"schedule": {"every": 86400, "job": {"image": "x"}}})
    if needs == "key":
        call(url, "POST", "/v1/groups/mail/jobs", {"jobs": [{"image": "send", "key": "acme"}]})
    if needs == "worker":
        call(url, "POST", "/v1/workers", {"name": "w-1", "host": "host-a"})
    if needs == "finished group":
        bulk = call(url, "POST", "/v1/groups/mail/bulk", {"action": "cancel"})["bulk"]
        while call(url, "GET", f"/v1/bulk/{bulk['id']}")["bulk"]["state"] != "done":
            time.sleep(0.05)
    return prepare_job(url, needs) if needs in {"queued", "delayed", "running", "succeeded", "failed", "logged"} else {}


def prepare_batch(url: str, *, is_failed: bool) -> str:
    """The id of an open batch of the group mail, or of one whose only job failed."""
    new = {"jobs": [{"image": "send"}], "open": not is_failed}
    batch = call(url, "POST", "/v1/groups/mail/batches", {"batch": new})["batch"]["id"]
    if is_failed:
        [job] = call(url, "GET", f"/v1/groups/mail/batches/{batch}/jobs")["jobs"]
        for verb in ("start", "error"):
            call(url, "POST", f"/v1/groups/mail/jobs/{job['id']}/{verb}")
        call(url, "GET", f"/v1/groups/mail/batches/{batch}?wait=20")
    return str(batch)


def prepare_job(url: str, status: str) -> dict[str, str]:
    """A job of the group mail in a status; its id, and its lease if it has one."""
    job = {"image": "send", "payload": "to: ann", **({"delay": 3600} if status == "delayed" else {})}
    [made] = call(url, "POST", "/v1/groups/mail/jobs", {"jobs": [job]})["jobs"]
    path = f"/v1/groups/mail/jobs/{made['id']}"
    if status in {"queued", "delayed"}:
        return {"JOB_ID": made["id"]}
    started = call(url, "POST", f"{path}/start")["job"]
    if status in {"succeeded", "failed", "logged"}:
        call(url, "POST", f"{path}/{'error' if status == 'failed' else 'success'}")
    if status == "logged":
        request = urllib.request.Request(f"{url}{path}/log", b"hello\n", {"Content-Type": "text/plain"}, method="POST")
        urllib.request.urlopen(request, timeout=30).close()
    [other] = call(url, "POST", "/v1/groups/others/jobs", {"jobs": [{"image": "send"}]})["jobs"]
    return {"JOB_ID": made["id"], "LEASE": started.get("lease", ""), "OTHER_ID": other["id"]}


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("path", "method", "operation"), [pytest.param(*each, id=each[2]["operationId"]) for each in calls(document())]
)
def test_example_does_what_it_says(
    url: str, tmp_path: Path, path: str, method: str, operation: Any, language: str
) -> None:
    """The example is accepted by a broker, and prints its answer."""
    if shutil.which(LANGUAGES[language][0]) is None:
        pytest.skip("node is not installed")
    names = prepare(url, EXAMPLES.get(operation["operationId"], Example()).needs)
    blocks = example_of(path, method, operation).split("```")[1::2]
    [block] = [block for block in blocks if block.startswith(f"{language} choice\n")]
    text = block.partition("\n")[2].replace(BROKER, url).replace("order-7", f"order-{next(NUMBERS)}")
    if language == "sh":
        names = {name: value.replace("\\", "") for name, value in names.items()}
    for name, value in names.items():
        text = text.replace(name, value)
    done = subprocess.run(
        [*LANGUAGES[language], text], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"\{\s*\"?error\"?:", done.stdout) is None, done.stdout
    assert done.stdout or language == "sh", "it prints nothing"


def test_examples_are_of_calls() -> None:
    """Each example belongs to a call that exists, and each job's call has one."""
    names = {operation["operationId"]: path for path, _, operation in calls(document())}
    assert set(EXAMPLES) <= set(names)
    assert [name for name, path in names.items() if "{" in path and name not in EXAMPLES] == []
